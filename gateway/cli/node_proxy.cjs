// Leads a program of Node.js through the proxy that HTTPS_PROXY names. `isthmus exec` has it loaded first, by NODE_OPTIONS.
//
// Node heeds such variables from 22.21 and 24.5 on, and then for its own fetch and its global agents alone; SDKs make
// agents of their own. So it is the opening of a connection that is changed, for every http.Agent and https.Agent, and
// for fetch where Node does not do it itself: through a tunnel (CONNECT; RFC 9110, 9.3.6), for http:// too. What brings a
// way of its own keeps it: agents such as https-proxy-agent's, a request's own `createConnection`, a socket's path.
"use strict";

const http = require("node:http");
const https = require("node:https");
const net = require("node:net");
const tls = require("node:tls");

const SILENCE = 60_000; // milliseconds until a proxy that says nothing is given up
const LONGEST_REFUSAL = 2048;
const DISPATCHER = Symbol.for("undici.globalDispatcher.1"); // where undici, Node's and npm's, keeps it

const { HTTPS_PROXY, NO_PROXY, no_proxy } = process.env;
const direct = (NO_PROXY || no_proxy || "").split(/[\s,]+/).filter(Boolean);

if (HTTPS_PROXY) {
  const proxy = placeOf(new URL(HTTPS_PROXY));
  leadAgents(http.Agent.prototype, proxy, 80, (_, socket) => socket);
  leadAgents(https.Agent.prototype, proxy, 443, (open, socket) => open({ socket }));
  if (!http.globalAgent.options.proxyEnv) leadFetch(); // else Node does
}

function placeOf(url) {
  const secret = `${decodeURIComponent(url.username)}:${decodeURIComponent(url.password)}`;
  return {
    secure: url.protocol === "https:",
    host: url.hostname.replace(/^\[|\]$/g, ""),
    port: Number(url.port) || (url.protocol === "https:" ? 443 : 80),
    authorization: `Basic ${Buffer.from(secret).toString("base64")}`,
  };
}

// Replaces how agents of this kind open a connection. Like Node's own it returns a socket, or calls back with one later.
function leadAgents(agents, proxy, usualPort, within) {
  const open = agents.createConnection;
  agents.createConnection = function (options, callback) {
    const host = options?.host || "localhost";
    const port = Number(options?.port) || usualPort;
    const toProxy = host === proxy.host && port === proxy.port; // by a client that speaks to it as it should
    const itsOwn = !callback || options.socketPath || this.options?.proxyEnv; // the last: Node's own proxying
    if (itsOwn || toProxy || goesDirect(host, port)) return open.apply(this, arguments);
    tunnel(proxy, host, port, (error, socket) => {
      if (error) return callback(error);
      callback(null, within((more) => open.call(this, { ...options, ...more }), socket));
    });
  };
}

function goesDirect(host, port) {
  return direct.some((entry) => {
    const name = entry.replace(/^\*?\./, "");
    return entry === "*" || [host, `${host}:${port}`].some((place) => place === name || place.endsWith(`.${name}`));
  });
}

// Calls back with a socket that leads to host and port, or with why the proxy did not open one.
function tunnel(proxy, host, port, callback) {
  const place = `${host.includes(":") ? `[${host}]` : host}:${port}`;
  const { secure, authorization } = proxy;
  const servername = net.isIP(proxy.host) ? "" : proxy.host;
  const to = { host: proxy.host, port: proxy.port, servername };
  const asked = http.request({
    ...to,
    method: "CONNECT",
    path: place,
    headers: { Host: place, "Proxy-Authorization": authorization },
    createConnection: () => (secure ? tls.connect(to) : net.connect(to)),
  });
  const failed = (error) => {
    error.message = `${place} through the proxy: ${error.message}`; // its code stays, by which SDKs try again
    callback(error);
  };
  asked.setTimeout(SILENCE, () => asked.destroy(new Error("no answer")));
  asked.on("error", failed);
  asked.on("connect", (answer, socket, head) => {
    if (head.length) socket.unshift(head);
    if (answer.statusCode !== 200) return refusal(answer, socket).then(failed);
    socket.setTimeout(0);
    callback(null, socket);
  });
  asked.end();
}

// The error of a tunnel that the proxy does not open: its status and its words, as far as they come.
async function refusal(answer, socket) {
  const length = Math.min(Number(answer.headers["content-length"]) || 0, LONGEST_REFUSAL);
  let words = "";
  socket.on("timeout", () => socket.destroy());
  try {
    if (length) {
      for await (const piece of socket) {
        words += piece;
        if (words.length >= length) break;
      }
    }
  } catch {
    // what came until then has to do
  }
  socket.destroy();
  return new Error(`${answer.statusCode} ${words.trim() || answer.statusMessage}`);
}

// Replaces the dispatcher that fetch uses by one of the same kind that opens its connections as the agents do.
function leadFetch() {
  void globalThis.Headers; // has Node load its undici, which makes the dispatcher
  const Dispatcher = globalThis[DISPATCHER]?.constructor;
  if (Dispatcher) globalThis[DISPATCHER] = new Dispatcher({ connect: connectFetch });
}

// How undici asks for a connection; it wants one that is ready, with TLS where the URL says so.
function connectFetch({ hostname, protocol, port, servername }, callback) {
  const secure = protocol === "https:";
  const host = hostname.replace(/^\[|\]$/g, "");
  const name = servername || (net.isIP(host) ? "" : host);
  const opened = (socket) => {
    if (!secure && !socket.connecting) return callback(null, socket);
    socket.once("error", callback);
    socket.once(secure ? "secureConnect" : "connect", () => {
      socket.off("error", callback);
      callback(null, socket);
    });
  };
  const options = { host, port: port || (secure ? 443 : 80), servername: name, ALPNProtocols: ["http/1.1"] };
  // a socket that is returned, not called back with, has its connecting told to the same callback
  const later = (error, socket) => (error ? callback(error) : socket && opened(socket));
  const now = (secure ? https : http).globalAgent.createConnection(options, later);
  if (now) opened(now);
}
