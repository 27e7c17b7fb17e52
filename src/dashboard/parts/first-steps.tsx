import { linkTo } from '../app/router.ts';

/** The way to a first deployment, for who has a cluster without any. */
export function FirstSteps() {
  return (
    <div class="stack">
      <p>Nothing is deployed yet. In the folder of conf.ini:</p>
      <ol class="steps">
        <li>
          <code>modelserve init Hello</code> makes a package in algopkg/Hello, and prints its section.
        </li>
        <li>
          Put the section into conf.ini: here under <a href={linkTo('configuration')}>Configuration</a>, or in
          the file, and <code>modelserve controller</code> brings it here.
        </li>
        <li>
          It is listed under <a href={linkTo('deployments')}>Deployments</a>: its page has a form to try it.
        </li>
      </ol>
    </div>
  );
}
