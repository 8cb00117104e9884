/** Every engine of logs, held to `src/store/store.ts`. */
import { MemoryStore } from "../src/store/memory_store.ts";
import { openTemporary } from "./kit/store_file.ts";
import { storeSuite } from "./kit/store_suite.ts";

storeSuite("memory", (host, limits) => Promise.resolve(new MemoryStore(host, limits)));

storeSuite("sqlite", (host, limits) => openTemporary({ limits, now: () => host.now() }));
