import { once } from "node:events";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

/** What stands in front of a registry does with one question: passes it on, or answers itself. */
export type Front = (question: Asked) => Answer | "pass" | "hang" | "drop";

/** One question as it came. */
export interface Asked {
  readonly method: string;
  /** Below the registry's URL, with its query. */
  readonly path: string;
  readonly authorization: string | undefined;
  readonly body: string;
}

/** What is answered instead. */
export interface Answer {
  readonly status: number;
  readonly body: string;
  readonly headers?: Readonly<Record<string, string>>;
}

/** A server in front of a registry, or of none: it remembers what was asked, and may answer by itself. */
export interface RegistryFront extends AsyncDisposable {
  readonly url: string;
  readonly asked: Asked[];
  /** Replaces what is done with questions from now on. */
  behave(front: Front): void;
}

/** Starts one on loopback. Without `behind` everything must be answered by `front`. */
export async function registryFront(
  behind: string | undefined,
  front: Front = () => "pass",
): Promise<RegistryFront> {
  const asked: Asked[] = [];
  let behaviour = front;
  const server = createServer((request, response) => {
    void answer(request, response).catch(() => response.destroy());
  });
  const answer = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const { method = "", url: path = "", headers } = request;
    const question = {
      method,
      path,
      authorization: headers.authorization,
      body: Buffer.concat(chunks).toString(),
    };
    asked.push(question);
    const done = behaviour(question);
    if (done === "hang") return;
    if (done === "drop") return void request.socket.destroy();
    const { status, body, headers: more } = done === "pass" ? await passOn(behind, question) : done;
    response
      .writeHead(status, { "content-type": "application/vnd.schemaregistry.v1+json", ...more })
      .end(body);
  };
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    asked,
    behave: (next) => void (behaviour = next),
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

async function passOn(behind: string | undefined, { method, path, body }: Asked): Promise<Answer> {
  if (behind === undefined) throw new Error("There is no registry behind.");
  const headers = { "content-type": "application/vnd.schemaregistry.v1+json" };
  const response = await fetch(behind + path, { method, headers, ...(body === "" ? {} : { body }) });
  return { status: response.status, body: await response.text() };
}
