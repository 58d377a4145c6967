// A browser through the proxy: STORE's page.html, a download and an upload by it, and what becomes of OTHERs.
import { chromium } from "playwright-core";

const [store, ...others] = process.argv.slice(2);
const proxy = new URL(process.env.HTTPS_PROXY);
const browser = await chromium.launch({
  executablePath: "/usr/bin/chromium",
  args: ["--no-sandbox", "--disable-gpu", "--disable-quic"], // the first is for root alone
  proxy: {
    server: proxy.origin,
    username: decodeURIComponent(proxy.username),
    password: decodeURIComponent(proxy.password),
    bypass: "<-loopback>", // Chromium goes to this machine's own hosts without a proxy, else
  },
});
try {
  const page = await browser.newPage();
  await page.goto(`${store}page.html`);
  const seen = {
    title: await page.title(),
    image: await page.evaluate("document.images[0].naturalWidth"),
    uploaded: await page.evaluate("fetch('sent.txt', { method: 'PUT', body: 'from a page' }).then(r => r.status)"),
    refused: [],
  };
  const download = page.waitForEvent("download");
  await page.click("a");
  await (await download).saveAs("downloaded");
  for (const other of others) {
    const answer = await page.goto(other).catch((error) => error);
    seen.refused.push(answer instanceof Error ? answer.message.split(" at ")[0] : await page.innerText("body"));
  }
  console.log(JSON.stringify(seen));
} finally {
  await browser.close();
}
