// Adds to package-lock.json the optional packages of other platforms. npm leaves out those that the registry at hand does
// not have, and then `npm ci` refuses the file everywhere: `npm run lock` after every change of the dependencies.
import { readFileSync, writeFileSync } from 'node:fs';

const file = new URL('../package-lock.json', import.meta.url);
const oss = ['aix', 'android', 'darwin', 'freebsd', 'linux', 'netbsd', 'openbsd', 'openharmony', 'sunos', 'win32'];
const cpus = ['arm', 'arm64', 'ia32', 'loong64', 'mips64el', 'ppc64', 'riscv64', 's390x', 'wasm32', 'x64'];
const libcs = { gnu: 'glibc', gnueabihf: 'glibc', musl: 'musl', musleabihf: 'musl' };

/** Platform packages are named by what they are for: `@scope/name-linux-arm64-musl`. */
const platformOf = (name) => {
  const parts = name.split(/[/-]/);
  const os = oss.find((known) => parts.includes(known));
  const cpu = cpus.find((known) => parts.includes(known));
  if (os === undefined || cpu === undefined) return undefined;
  const libc = os === 'linux' ? parts.map((part) => libcs[part]).find((known) => known !== undefined) : undefined;
  return { cpu: [cpu], ...(libc === undefined ? {} : { libc: [libc] }), os: [os] };
};

/** What an entry of the lock file names and the file does not hold, as further entries. */
export const missingEntries = (packages) => {
  const missing = [];
  for (const [owner, { optionalDependencies = {}, dev }] of Object.entries(packages)) {
    for (const [name, version] of Object.entries(optionalDependencies)) {
      const places = [`${owner}/node_modules/${name}`, `node_modules/${name}`];
      if (places.some((place) => packages[place] !== undefined)) continue;
      missing.push([`node_modules/${name}`, { version, ...platformOf(name), ...(dev ? { dev } : {}), optional: true }]);
    }
  }
  return missing;
};

if (import.meta.filename === process.argv[1]) {
  const lock = JSON.parse(readFileSync(file, 'utf8'));
  const missing = missingEntries(lock.packages);
  const odd = missing.filter(([, { version, os }]) => os === undefined || !/^\d/.test(version));
  if (odd.length > 0)
    throw new Error(`not known for which platform these are: ${odd.map(([name]) => name).join(', ')}`);
  const entries = [...Object.entries(lock.packages), ...missing];
  lock.packages = Object.fromEntries(entries.sort(([a], [b]) => (a < b ? -1 : 1)));
  writeFileSync(file, `${JSON.stringify(lock, null, 2)}\n`);
  console.log(`package-lock.json: ${missing.length} packages of other platforms added`);
}
