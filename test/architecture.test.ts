import { readdirSync, readFileSync } from "node:fs";
import { basename, dirname, join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { test } from "node:test";
import { assertEquals } from "@std/assert";

const root = fileURLToPath(new URL("..", import.meta.url));

/** Which room may import from which. A room may always import from itself. */
const arrows: Record<string, readonly string[]> = {
  "wire": [],
  "link": ["wire", "close"],
  "close": [],
  "limits": [],
  "host": ["link"],
  "log": [],
  "store": ["wire", "host", "log"],
  "admission": ["wire", "link"],
  "config": ["log"],
  "channel": ["link"],
  "session": ["wire", "channel", "link", "close", "limits", "host", "log", "admission", "store"],
  "runtime": ["link", "wire", "host", "log"],
  "bmp": ["runtime", "link", "wire", "host", "log"],
  "client": ["wire", "link", "close", "limits", "host"],
  "metrics": ["link", "log", "wire"],
  "routes": [
    ...["session", "channel", "runtime", "link", "wire", "close", "limits", "host", "log"],
    ...["admission", "metrics", "web", "store"],
  ],
  "web": ["client", "wire", "link", "close", "host"],
  "main": [
    ...["routes", "runtime", "bmp", "link", "close", "limits", "host", "log", "admission"],
    ...["config", "store"],
  ],
};

/** `src/wire/bytes.ts` is in the room `wire`, `src/close.ts` is a room of its own. */
function room(file: string): string {
  const [first, second] = file.split("/");
  return (first === "src" ? second! : first!).replace(/\.ts$/, "");
}

const files = ["main.ts", ...list("src"), ...list("routes"), ...list("web")];

function list(folder: string): string[] {
  return readdirSync(join(root, folder), { recursive: true, encoding: "utf8" })
    .filter((file) => file.endsWith(".ts"))
    .map((file) => `${folder}/${file}`);
}

function imports(file: string): string[] {
  const text = readFileSync(join(root, file), "utf8");
  return [...text.matchAll(/^(?:import|export)\b[^;]*?\bfrom\s+"([^"]+)"|import\("([^"]+)"\)/gm)]
    .map(([, fixed, dynamic]) => fixed ?? dynamic!);
}

const own = (file: string): string[] =>
  imports(file).filter((target) => target.startsWith("."))
    .map((target) => relative(root, join(root, dirname(file), target)));

test("imports go along the arrows only", () => {
  const wrong = files.flatMap((file) =>
    own(file)
      .filter((target) =>
        room(target) !== room(file) && !arrows[room(file)]?.includes(room(target))
      )
      .map((target) => `${file} imports ${target}`)
  );
  assertEquals(wrong, []);
});

test("inside the client, pairs know no groups, and neither knows what carries it", () => {
  const above: [string, string][] = [
    ["pair", "group"],
    ["ecg", "pair"],
    ["ecg", "group"],
    ["bmp", "pair"],
    ["transport", "pair"],
    ["transport", "group"],
    ["transport", "ecg"],
  ];
  const wrong = above.flatMap(([room, other]) =>
    list(`src/client/${room}`).flatMap((file) =>
      own(file).filter((target) => target.startsWith(`src/client/${other}/`))
        .map((target) => `${file} imports ${target}`)
    )
  );
  assertEquals(wrong, []);
});

test("inside the group, a room knows those before it only", () => {
  const order = ["e2e", "mls", "data", "log"].map((room) => `src/client/group/${room}/`);
  const at = (file: string) => {
    const found = order.findIndex((room) => file.startsWith(room));
    return found < 0 && file.startsWith("src/client/group/") ? order.length : found;
  };
  const wrong = list("src/client/group").flatMap((file) =>
    own(file).filter((target) => at(target) > at(file))
      .map((target) => `${file} imports ${target}`)
  );
  assertEquals(wrong, []);
});

test("imports make no circle", () => {
  const open = new Set<string>();
  const done = new Set<string>();
  const circles: string[] = [];
  const visit = (file: string): void => {
    if (done.has(file)) return;
    if (open.has(file)) {
      circles.push([...open].slice([...open].indexOf(file)).concat(file).join(" → "));
      return;
    }
    open.add(file);
    for (const target of own(file)) visit(target);
    open.delete(file);
    done.add(file);
  };
  files.forEach(visit);
  assertEquals(circles, []);
});

test("no two files have one name", () => {
  const twice = new Map<string, string[]>();
  for (const file of [...files, ...list("tools"), ...list("bench")]) {
    const name = basename(file);
    twice.set(name, [...(twice.get(name) ?? []), file]);
  }
  twice.delete("main.ts");
  assertEquals([...twice.values()].filter((same) => same.length > 1), []);
});

test("no two files export one type", () => {
  const places = new Map<string, string[]>();
  for (const file of [...files, ...list("tools")]) {
    const text = readFileSync(join(root, file), "utf8");
    const names = text.matchAll(/^export (?:abstract )?(?:class|interface|type) (\w+)/gm);
    for (const name of new Set([...names].map(([, name]) => name!))) {
      places.set(name, [...(places.get(name) ?? []), file]);
    }
  }
  assertEquals([...places].filter(([, where]) => where.length > 1), []);
});

test("runtimes are named in their two files and in main only", () => {
  const named = files.filter((file) =>
    !file.startsWith("src/runtime/") && file !== "main.ts" &&
    /\b(?:Deno|Bun)\.\w/.test(
      readFileSync(join(root, file), "utf8").replace(/\/\*[\s\S]*?\*\/|\/\/.*/g, ""),
    )
  );
  assertEquals(named, []);
});

test("files that know bytes know no sockets", () => {
  const mixed = list("src/wire").filter((file) =>
    /WebSocket\(|fetch\(|node:net|setTimeout|Date\.now|performance\./.test(
      readFileSync(join(root, file), "utf8"),
    )
  );
  assertEquals(mixed, []);
});
