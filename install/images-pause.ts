/** Processor architectures as images name them. */
export type Architecture = 'amd64' | 'arm64';

const base = 0x400000n;
const headersSize = 64 + 56;
const saRestorer = 0x04000000n;
const signals = { int: 2, term: 15, chld: 17 };

/**
 * The program that holds a pod's namespaces open: a static ELF executable of a few hundred bytes. It ignores
 * SIGCHLD, so that the kernel reaps orphans when it is pid 1 of a shared pid namespace, ends on SIGTERM and SIGINT
 * and sleeps otherwise. Sources: System V ABI (ELF-64), Linux system call tables of x86-64 and arm64.
 */
export function pauseProgram(architecture: Architecture): Buffer {
  return architecture === 'amd64' ? elf(62, amd64) : elf(183, arm64);
}

/** Addresses of the two `struct sigaction` behind the code. */
interface Data { readonly ignore: number; readonly exit: number }
interface Code { readonly bytes: Buffer; readonly exitOffset: number }

function elf(machine: number, assemble: (data: Data) => Code): Buffer {
  // Code has the same length for any address, so a first pass finds where the data goes.
  const codeStart = Number(base) + headersSize;
  const length = Math.ceil(assemble({ ignore: codeStart, exit: codeStart }).bytes.length / 8) * 8;
  const code = assemble({ ignore: codeStart + length, exit: codeStart + length + 32 });
  const exit = BigInt(codeStart + code.exitOffset);
  const data = Buffer.alloc(64);
  data.writeBigUInt64LE(1n, 0);
  // x86-64 delivers no signal without a restorer; it is never reached, because the handler ends the process.
  [exit, saRestorer, exit, 0n].forEach((word, i) => data.writeBigUInt64LE(word, 32 + i * 8));
  const body = Buffer.concat([code.bytes, Buffer.alloc(length - code.bytes.length), data]);
  return Buffer.concat([elfHeader(machine), programHeader(headersSize + body.length), body]);
}

function elfHeader(machine: number): Buffer {
  const header = Buffer.alloc(64);
  header.set([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1]);
  header.writeUInt16LE(2, 16);
  header.writeUInt16LE(machine, 18);
  header.writeUInt32LE(1, 20);
  header.writeBigUInt64LE(base + BigInt(headersSize), 24);
  header.writeBigUInt64LE(64n, 32);
  header.writeUInt16LE(64, 52);
  header.writeUInt16LE(56, 54);
  header.writeUInt16LE(1, 56);
  return header;
}

/** One segment, readable and executable, for the whole file. */
function programHeader(size: number): Buffer {
  const header = Buffer.alloc(56);
  header.writeUInt32LE(1, 0);
  header.writeUInt32LE(5, 4);
  header.writeBigUInt64LE(base, 16);
  header.writeBigUInt64LE(base, 24);
  header.writeBigUInt64LE(BigInt(size), 32);
  header.writeBigUInt64LE(BigInt(size), 40);
  header.writeBigUInt64LE(0x10000n, 48);
  return header;
}

function amd64(data: Data): Code {
  const imm32 = (value: number): number[] => [value & 255, (value >> 8) & 255, (value >> 16) & 255, (value >> 24) & 255];
  const syscall = [0x0f, 0x05];
  const sigaction = (signal: number, action: number): number[] => [
    0xb8, ...imm32(13), 0xbf, ...imm32(signal), 0xbe, ...imm32(action), // mov eax,rt_sigaction; mov edi,signal; mov esi,action
    0x31, 0xd2, 0x41, 0xba, ...imm32(8), ...syscall, // xor edx,edx; mov r10d,8
  ];
  const setup = [...sigaction(signals.chld, data.ignore), ...sigaction(signals.term, data.exit), ...sigaction(signals.int, data.exit)];
  const pause = [0xb8, ...imm32(34), ...syscall, 0xeb, 0xf7]; // mov eax,pause; syscall; jmp back 9
  const exit = [0x31, 0xff, 0xb8, ...imm32(231), ...syscall]; // xor edi,edi; mov eax,exit_group
  return { bytes: Buffer.from([...setup, ...pause, ...exit]), exitOffset: setup.length + pause.length };
}

function arm64(data: Data): Code {
  const svc = 0xd4000001;
  const movz = (register: number, value: number): number => (0xd2800000 + value * 32 + register) >>> 0;
  const movkHigh = (register: number, value: number): number => (0xf2a00000 + value * 32 + register) >>> 0;
  const sigaction = (signal: number, action: number): number[] => [
    movz(0, signal), movz(1, action & 0xffff), movkHigh(1, action >> 16), movz(2, 0), movz(3, 8), movz(8, 134), svc,
  ];
  const setup = [...sigaction(signals.chld, data.ignore), ...sigaction(signals.term, data.exit), ...sigaction(signals.int, data.exit)];
  // ppoll(NULL, 0, NULL, NULL, 0): arm64 has no pause.
  const pause = [movz(0, 0), movz(1, 0), movz(2, 0), movz(3, 0), movz(4, 0), movz(8, 73), svc, (0x14000000 + (0x4000000 - 7)) >>> 0];
  const exit = [movz(0, 0), movz(8, 94), svc];
  const words = [...setup, ...pause, ...exit];
  const bytes = Buffer.alloc(words.length * 4);
  words.forEach((word, i) => bytes.writeUInt32LE(word, i * 4));
  return { bytes, exitOffset: (setup.length + pause.length) * 4 };
}
