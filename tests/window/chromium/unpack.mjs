// Unpacks the Chromium of the package into a folder, with its libraries and fonts; `start` there starts it.

import { mkdirSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { inflate } from "@sparticuz/chromium";

const folder = resolve(process.argv[2]);
const partial = `${folder}.partial`;
rmSync(partial, { recursive: true, force: true });
mkdirSync(partial, { recursive: true });
process.env.TMPDIR = partial; // where the package unpacks to
for (const name of ["chromium.br", "al2023.tar.br", "fonts.tar.br"]) {
  await inflate(fileURLToPath(new URL(`node_modules/@sparticuz/chromium/bin/${name}`, import.meta.url)));
}
writeFileSync(
  `${partial}/fonts.conf`,
  `<?xml version="1.0"?><!DOCTYPE fontconfig SYSTEM "fonts.dtd"><fontconfig><dir>${folder}/fonts</dir>` +
    `<cachedir>${folder}/fonts-cache</cachedir></fontconfig>\n`,
);
writeFileSync(
  `${partial}/start`,
  `#!/bin/sh\nLD_LIBRARY_PATH='${folder}/al2023/lib' FONTCONFIG_FILE='${folder}/fonts.conf' exec '${folder}/chromium' "$@"\n`,
  { mode: 0o755 },
);
rmSync(folder, { recursive: true, force: true });
renameSync(partial, folder);
