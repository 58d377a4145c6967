// The same on versions that do not know NODE_USE_ENV_PROXY: undici's dispatcher reads HTTPS_PROXY.
import { EnvHttpProxyAgent, setGlobalDispatcher } from "undici";

setGlobalDispatcher(new EnvHttpProxyAgent());
await import("./fetch.mjs");
