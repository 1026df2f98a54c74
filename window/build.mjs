// Bundles the window into the folder from which the server serves it.
import { createHash } from "node:crypto";
import { cp, mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import { build } from "esbuild";

const here = new URL("./", import.meta.url);
const target = new URL("../src/tickerplant/server/window_files/", here);

/** Text that browsers ask for again and again: sent compressed if they accept that. */
async function write(name, content) {
  await writeFile(new URL(name, target), content);
  await writeFile(new URL(`${name}.gz`, target), gzipSync(content, { level: 9 }));
}

const bundle = await build({
  entryPoints: [fileURLToPath(new URL("src/main.tsx", here))],
  outdir: "out",
  bundle: true,
  minify: true,
  write: false,
  format: "esm",
  target: "es2022",
  jsx: "automatic",
  jsxImportSource: "preact",
  legalComments: "none",
  metafile: true,
});
const outputs = new Map(bundle.outputFiles.map((file) => [file.path.split(".").at(-1), file]));
const id = createHash("sha256");
for (const file of outputs.values()) id.update(file.contents);
const page = await readFile(new URL("src/index.html", here), "utf-8");
id.update(page);
const buildId = id.digest("hex").slice(0, 12);

await rm(target, { recursive: true, force: true });
await mkdir(target, { recursive: true });
for (const [kind, file] of outputs) await write(`app-${buildId}.${kind}`, file.contents);
await write("index.html", page.replaceAll("BUILD", buildId));
await cp(new URL("src/icon.svg", here), new URL("icon.svg", target));

// The licences of what is in the bundle, as they ask to be passed on.
const packages = new Set(
  Object.keys(bundle.metafile.inputs)
    .map((path) => /node_modules\/((?:@[^/]+\/)?[^/]+)/.exec(path)?.[1])
    .filter((name) => name !== undefined),
);
const licences = [];
for (const name of [...packages].sort()) {
  const { version, license } = JSON.parse(
    await readFile(new URL(`node_modules/${name}/package.json`, here), "utf-8"),
  );
  licences.push(`${name} ${version} (${license})\n`);
  for (const file of ["LICENSE", "LICENSE.md", "NOTICE"]) {
    const text = await readFile(new URL(`node_modules/${name}/${file}`, here), "utf-8").catch(
      () => "",
    );
    if (text) licences.push(`\n${text.trim()}\n`);
  }
  licences.push("\n");
}
await write("licences.txt", licences.join(""));
