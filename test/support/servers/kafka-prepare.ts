import { renameSync, rmSync } from "node:fs";
import path from "node:path";
import { outputOf } from "./found.ts";
import { isServing, javaArgs, newKafkaId, settle } from "./kafka-node.ts";
import { freePorts, ServerProcess } from "./server-process.ts";

// Called with Java, a class path and an empty folder: lets Kafka's own tool format the storage of a node there, and runs a
// server to its end, so that Java writes down the classes that a start takes.
const [java, classPath, folder] = process.argv.slice(2) as [string, string, string];
const [port, behindPort, proxyPort, controller] = (await freePorts(4)) as [number, number, number, number];
const node = {
  id: 1,
  folder,
  host: "127.0.0.1",
  port,
  behindPort,
  proxy: { host: "127.0.0.1", port: proxyPort },
  controllers: [controller],
  clusterId: newKafkaId(),
  config: {},
  java: [],
  detached: false,
};
settle(node);
const format = ["format", "-t", node.clusterId, "-c", "server.properties"];
outputOf(java, [...javaArgs(classPath, "kafka.tools.StorageTool"), ...format], { cwd: folder });
const at = (name: string) => path.join(folder, name);
renameSync(at("data"), at("formatted"));

outputOf("cp", ["-r", at("formatted"), at("data")]);
const archive = [`-XX:ArchiveClassesAtExit=${at("classes.jsa")}`];
const args = [...javaArgs(classPath, "kafka.Kafka", archive), "server.properties"];
const server = new ServerProcess({
  binary: java,
  args,
  port,
  folder,
  detached: false,
  answers: () => isServing(node),
});
await server.start();
await server.end();
rmSync(at("data"), { recursive: true });
