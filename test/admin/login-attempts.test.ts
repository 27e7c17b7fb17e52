import { expect, it } from 'vitest';
import { LoginAttempts } from '../../src/admin/login-attempts.ts';

function guess(attempts: LoginAttempts, address: string, times: number, nowMs = 0): void {
  for (let count = 0; count < times; count += 1) attempts.count(address, nowMs);
}

it.each([
  ['10.0.0.1', '10.0.0.2'],
  ['::ffff:10.0.0.1', '::ffff:10.0.0.2'],
  ['2001:db8:0:1::1', '2001:db8:0:2::1'],
  ['::1', 'fe80::1'],
])('keeps %s out for a minute, and not %s', (guesser, other) => {
  const attempts = new LoginAttempts();
  guess(attempts, guesser, 29);
  attempts.check(guesser, 1);
  guess(attempts, guesser, 1);
  expect(() => attempts.check(guesser, 59_999)).toThrow('too many wrong tokens');
  attempts.check(other, 1);
  attempts.check(guesser, 60_000);
});

it('takes all addresses of an IPv6 network for one', () => {
  const attempts = new LoginAttempts();
  for (let host = 1; host <= 30; host += 1) attempts.count(`2001:db8::${host}`, 0);
  for (const address of ['2001:db8::ffff', '2001:db8:0:0:a:b:c:d', '2001:db8::a:b:c:d']) {
    expect(() => attempts.check(address, 1), address).toThrow('too many');
  }
});

it('forgets the oldest of more than a thousand addresses', () => {
  const attempts = new LoginAttempts();
  guess(attempts, '10.1.0.0', 30);
  for (let place = 0; place < 1_000; place += 1) guess(attempts, `10.0.${place >> 8}.${place & 255}`, 1);
  attempts.check('10.1.0.0', 1);
});
