import { createConnection } from 'node:net';

/**
 * Asks a loader that is there already to serve one more program.
 * @returns false where nobody answers
 */
export async function joinLoader(socketPath: string, pid: number): Promise<boolean> {
  return await new Promise((resolve) => {
    const socket = createConnection(socketPath, () => socket.write(`M ${pid}\n`));
    let answer = '';
    socket.setEncoding('latin1');
    socket.on('data', (text: string) => {
      answer += text;
    });
    socket.on('error', () => undefined); // its close follows
    socket.on('close', () => resolve(answer === 'OK\n'));
  });
}
