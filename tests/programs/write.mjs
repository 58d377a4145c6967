// Writes one object by the SDK of SERVICE to the bucket, container or folder NAME at PLACE, or shows what it says of a refusal.
const [service, place, name] = process.argv.slice(2);

const writers = {
  async s3() {
    const { PutObjectCommand, S3Client } = await import("@aws-sdk/client-s3");
    const s3 = new S3Client({ endpoint: place, region: "us-east-1", forcePathStyle: true });
    await s3.send(new PutObjectCommand({ Bucket: name, Key: "refused", Body: "content" }));
  },
  async azure() {
    const { ContainerClient } = await import("@azure/storage-blob");
    await new ContainerClient(`${place}/${name}`).uploadBlockBlob("refused", "content", 7);
  },
  async google() {
    const { Storage } = await import("@google-cloud/storage");
    await new Storage({ apiEndpoint: place }).bucket(name).file("refused").save("content");
  },
  async webdav() {
    const { createClient } = await import("webdav");
    await createClient(place).putFileContents(`/${name}`, "content");
  },
};

try {
  await writers[service]();
  console.log("written");
} catch (error) {
  console.log(error.message.trim());
  if (service === "webdav") console.log(await error.response.text());
  if (service === "google") console.log(JSON.stringify(error.response.data));
}
