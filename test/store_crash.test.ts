import { test } from "node:test";
import { crash } from "./kit/store_crash.ts";

test("a process that is killed while it appends loses nothing that it was told of", () => crash(2));
