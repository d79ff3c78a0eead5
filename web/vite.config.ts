import preact from "@preact/preset-vite";
import { createHash } from "node:crypto";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { defineConfig, type Plugin } from "vite";

const OUT = "../aether_protocol/server/dashboard/static";

/** All that decides what is built, by name in order. A test computes the same (tests/unit/server/test_dashboard.py). */
function sources(folder: string, below = ""): string[] {
  const names: string[] = [];
  for (const entry of readdirSync(join(folder, below), { withFileTypes: true })) {
    const name = below ? `${below}/${entry.name}` : entry.name;
    if (entry.isDirectory() && entry.name !== "node_modules") names.push(...sources(folder, name));
    else if (entry.isFile()) names.push(name);
  }
  return names;
}

/** Write beside the built files which sources they were built of. */
function digest(): Plugin {
  return {
    name: "digest",
    closeBundle() {
      const sum = createHash("sha256");
      for (const name of sources(__dirname).sort()) {
        sum.update(`${name}\n`);
        sum.update(readFileSync(join(__dirname, name)));
      }
      writeFileSync(join(__dirname, OUT, "sources.sha256"), `${sum.digest("hex")}\n`);
    },
  };
}

// Built into the Python package: the server ships the files, and no Node is needed to install or run it.
export default defineConfig({
  base: "./", // the server writes <base href> for the path that it is mounted at
  plugins: [preact({ prefreshEnabled: false }), digest()],
  build: {
    outDir: OUT,
    emptyOutDir: true,
    license: { fileName: "licenses.md" }, // of what is bundled: their notices go where copies of it go
    assetsInlineLimit: 0, // the page's policy forbids data: scripts and styles
    modulePreload: { polyfill: false },
    target: "es2022",
  },
});
