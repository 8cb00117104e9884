import { test } from "node:test";
import { crash } from "../kit/store_crash.ts";

test("ten kills in a row lose nothing, and the ring stays", () => crash(10));
