// HTTP clients, each in its usual way: writes to the folder at URL and reads it back; then what each says of the URL REFUSED.
import http from "node:http";
import https from "node:https";
import { text } from "node:stream/consumers";
import axios from "axios";
import got from "got";
import { request } from "undici";

const [folder, refused] = process.argv.slice(2);

function node(method, url, body) {
  return new Promise((answered, failed) => {
    const { Agent } = url.startsWith("https:") ? https : http; // an agent of its own, as SDKs have
    const asked = (url.startsWith("https:") ? https : http).request(url, { method, agent: new Agent({ keepAlive: true }) });
    asked.on("error", failed).on("response", async (answer) => {
      const said = await text(answer);
      asked.agent.destroy();
      if (answer.statusCode < 300) answered(said);
      else failed(new Error(`${answer.statusCode} ${said}`));
    });
    asked.end(body);
  });
}

const clients = {
  async axios(method, url, data) {
    return (await axios({ method, url, data, responseType: "text" })).data;
  },
  async fetch(method, url, body) {
    const answer = await fetch(url, { method, body });
    if (!answer.ok) throw new Error(`${answer.status} ${await answer.text()}`);
    return answer.text();
  },
  async got(method, url, body) {
    return got(url, { method, body }).text();
  },
  node,
  async undici(method, url, body) {
    const answer = await request(url, { method, body });
    if (answer.statusCode >= 300) throw new Error(`${answer.statusCode} ${await answer.body.text()}`);
    return answer.body.text();
  },
};

function messages(error) {
  return error ? `${error.message} ${messages(error.cause)}` : "";
}

for (const [name, client] of Object.entries(clients)) {
  const url = `${folder}${name}.txt`;
  await client("PUT", url, `by ${name}`);
  console.log(name, await client("GET", url));
}
for (const [name, client] of Object.entries(clients)) {
  const words = await client("GET", refused).catch(messages);
  console.log(name, /\b403\b/.exec(words)?.[0] ?? words);
}
