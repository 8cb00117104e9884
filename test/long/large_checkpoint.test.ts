import { test } from "node:test";
import { comesBack } from "../kit/filled.ts";

test("100,000 records go into a checkpoint and come out of it", () => comesBack(100_000));
