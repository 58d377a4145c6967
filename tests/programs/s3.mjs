// Amazon's SDK with keys from the environment: FILE to BUCKET in parts, copied there, listed, back as BACK; then what is refused.
import { createReadStream, createWriteStream } from "node:fs";
import { pipeline } from "node:stream/promises";
import { CopyObjectCommand, DeleteObjectCommand, GetObjectCommand, ListObjectsV2Command, S3Client } from "@aws-sdk/client-s3";
import { Upload } from "@aws-sdk/lib-storage";

const [endpoint, Bucket, file, back] = process.argv.slice(2);
const s3 = new S3Client({ endpoint, region: "us-east-1", forcePathStyle: true });
const Key = "node/a b+c 100% ä";

await new Upload({ client: s3, params: { Bucket, Key, Body: createReadStream(file) }, partSize: 8 << 20 }).done();
const { Body } = await s3.send(new GetObjectCommand({ Bucket, Key }));
await pipeline(Body, createWriteStream(back));
await s3.send(new CopyObjectCommand({ Bucket, Key: "node/copy", CopySource: `${Bucket}/${encodeURIComponent(Key)}` }));
const listed = await s3.send(new ListObjectsV2Command({ Bucket, Prefix: "node/" }));
console.log(listed.Contents.map((one) => one.Key).join());
await s3.send(new DeleteObjectCommand({ Bucket, Key: "node/copy" }));
