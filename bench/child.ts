import { CASES } from "./memory/cases.ts";
import { PEERS } from "./memory/peers.ts";

const wanted = process.argv[2];
const found = [...CASES, ...PEERS].find(({ name }) => name === wanted);
if (found === undefined) throw new Error(`There is no case '${wanted}'.`);
process.stdout.write(`${await found.run()}\n`);
