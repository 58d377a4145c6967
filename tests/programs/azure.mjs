// Azure's SDK: FILE to CONTAINER in blocks, copied there, listed, back as BACK.
import { createReadStream, createWriteStream } from "node:fs";
import { pipeline } from "node:stream/promises";
import { BlobServiceClient } from "@azure/storage-blob";

const [container, file, back] = process.argv.slice(2);
const service = BlobServiceClient.fromConnectionString(process.env.AZURE_STORAGE_CONNECTION_STRING);
const there = service.getContainerClient(container);
const blob = there.getBlockBlobClient("node/a b+c 100% ä");

await blob.uploadStream(createReadStream(file), 8 << 20, 3);
const { readableStreamBody } = await blob.download();
await pipeline(readableStreamBody, createWriteStream(back));
const copy = there.getBlobClient("node/copy");
await (await copy.beginCopyFromURL(blob.url)).pollUntilDone();
const names = [];
for await (const { name } of there.listBlobsFlat({ prefix: "node/" })) names.push(name);
console.log(names.join());
await copy.delete();
