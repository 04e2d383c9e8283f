#!/usr/bin/env node
import { CommandLine } from "./command-line.ts";

const commandLine = new CommandLine(process.argv.slice(2), process);
process.on("uncaughtException", (error) => commandLine.endWith(error));
// Waiting for a message keeps no process alive; a command that waits must.
setInterval(() => {}, 2 ** 30);
// An agent's module may hold timers and sockets that keep a process alive: when the command is done, so is the process.
process.exit(await commandLine.run());
