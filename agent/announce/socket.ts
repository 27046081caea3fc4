import { createSocket } from 'node:dgram';
import { isIPv4 } from '#api/meta/ip.ts';

/** Where hosts say that they live. */
export interface BeatSocket {
  /** Resolves when it is sent, or cannot be: what gets lost is said again. */
  send(bytes: Uint8Array, address: string): Promise<void>;
  close(): void;
}

/** UDP; the same number as the API's TCP port, so that hosts open one. */
export const beatPort = 6443;

export async function openBeatSocket(address: string, heard: (bytes: Uint8Array) => void): Promise<BeatSocket> {
  const socket = createSocket(isIPv4(address) ? 'udp4' : 'udp6');
  await new Promise<void>((resolve, reject) => {
    socket.once('error', reject);
    socket.bind(beatPort, () => { socket.off('error', reject); resolve(); });
  });
  // A host that is down may be told so by ICMP: that is no news.
  socket.on('error', () => undefined);
  socket.on('message', heard);
  socket.unref();
  return {
    send: (bytes, to) => new Promise((resolve) => { socket.send(bytes, beatPort, to, () => { resolve(); }); }),
    close: () => { socket.close(); },
  };
}
