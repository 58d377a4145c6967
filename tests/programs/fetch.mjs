// Copies FROM to TO by Node's own fetch, streamed both ways, and prints the status.
const [from, to] = process.argv.slice(2);
const read = await fetch(from);
if (!read.ok) throw new Error(`${read.status} ${await read.text()}`);
const written = await fetch(to, { method: "PUT", body: read.body, duplex: "half" });
console.log(written.status);
