import { apicurioHome } from "./apicurio-home.ts";
import { folderOf, startServer, type ServerHandle } from "./handle.ts";
import { SHORT_LIVED } from "./java-tools.ts";
import { freePorts } from "./server-process.ts";

/** A schema registry on loopback that belongs to whoever started it; its `url` is where it speaks as Confluent's does. */
export type TestRegistry = ServerHandle;

const API = "/apis/ccompat/v7";

/** Starts an Apicurio Registry that keeps everything in memory; resolves when it answers. It dies with this process. */
export async function startApicurio(): Promise<TestRegistry> {
  const home = apicurioHome();
  if (home.why !== undefined) throw new Error(`Apicurio Registry cannot be started: ${home.why}.`);
  const [port] = (await freePorts(1)) as [number];
  const url = `http://127.0.0.1:${port}${API}`;
  const java = ["-Xmx256m", ...SHORT_LIVED];
  const settings = ["-Dquarkus.http.host=127.0.0.1", `-Dquarkus.http.port=${port}`];
  const args = [...java, ...settings, "-jar", home.jar];
  const folder = folderOf({}, "apicurio");
  return startServer(
    { binary: home.java, args, port, folder, detached: false, answers: () => answers(url) },
    { url },
  );
}

async function answers(url: string): Promise<void> {
  const response = await fetch(`${url}/subjects`);
  await response.text();
  if (!response.ok) throw new Error(`it answers ${response.status}`);
}
