import { SUITES } from "./suites.ts";

const [suite = "", wanted] = process.argv.slice(2);
const found = SUITES[suite]?.cases.find(({ name }) => name === wanted);
if (found === undefined) throw new Error(`There is no case '${wanted}'.`);
process.stdout.write(`${await found.run()}\n`);
