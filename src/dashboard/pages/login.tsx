import { useEffect, useState } from 'preact/hooks';
import { askWhoWeAre, messageOf, send } from '../app/api.ts';
import { Notice } from '../parts/card.tsx';

export function LoginPage() {
  const [token, setToken] = useState('');
  const [error, setError] = useState<string | null>(null);
  const [isBusy, setBusy] = useState(false);
  useEffect(() => {
    document.title = 'Log in · modelserve';
  }, []);
  const logIn = async (event: Event): Promise<void> => {
    event.preventDefault();
    setBusy(true);
    try {
      await send('POST', 'session', { token });
      await askWhoWeAre();
    } catch (failure) {
      setError(messageOf(failure));
    }
    setBusy(false);
  };
  return (
    <main class="login">
      <form class="card" onSubmit={logIn}>
        <h1>modelserve</h1>
        <p class="quiet">
          Log in with the cluster’s token: it is in the file <code>token</code> of the head’s state directory;{' '}
          <code>modelserve head</code> names it when it starts. With what <code>modelserve key viewer</code>{' '}
          prints one looks, and changes nothing.
        </p>
        {error !== null && <Notice tone="bad" title={error} />}
        <label>
          Token
          <input
            type="password"
            name="token"
            autocomplete="current-password"
            required
            value={token}
            onInput={(event) => setToken(event.currentTarget.value)}
          />
        </label>
        <button type="submit" class="primary" disabled={isBusy || token === ''}>
          Log in
        </button>
      </form>
    </main>
  );
}
