// Google's SDK: FILE to BUCKET, copied there, listed, back as BACK.
import { createReadStream, createWriteStream } from "node:fs";
import { pipeline } from "node:stream/promises";
import { Storage } from "@google-cloud/storage";

const [apiEndpoint, bucket, file, back] = process.argv.slice(2);
const there = new Storage({ apiEndpoint }).bucket(bucket);
const object = there.file("node/a b+c 100% ä");

await pipeline(createReadStream(file), object.createWriteStream({ resumable: true, chunkSize: 8 << 20 }));
await pipeline(object.createReadStream(), createWriteStream(back));
await object.copy(there.file("node/copy"));
const [files] = await there.getFiles({ prefix: "node/" });
console.log(files.map((one) => one.name).join());
await there.file("node/copy").delete();
