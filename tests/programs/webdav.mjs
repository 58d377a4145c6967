// The client `webdav`: FILE to a folder of the server at URL, listed, moved, back as BACK.
import { createReadStream, createWriteStream } from "node:fs";
import { pipeline } from "node:stream/promises";
import { createClient } from "webdav";

const [url, file, back] = process.argv.slice(2);
const there = createClient(url);

await there.createDirectory("/node");
await new Promise((done, failed) => {
  const to = there.createWriteStream("/node/sent", {}, done);
  pipeline(createReadStream(file), to).catch(failed);
});
await there.moveFile("/node/sent", "/node/a b+c 100% ä");
console.log((await there.getDirectoryContents("/node")).map((one) => one.basename).join());
await pipeline(there.createReadStream("/node/a b+c 100% ä"), createWriteStream(back));
await there.deleteFile("/node");
