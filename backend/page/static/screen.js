// Shows one screen: its state in one object, what changes it, and one place that draws it.
import { ApiError, onAuthorizing, pause, request, visibleAgain } from "./api.js";
import { render } from "./elements.js";

/** @import { VNode } from "preact" */
/** @import { Answer } from "./api.js" */
/** @import { Route } from "./router.js" */

/**
 * What went wrong, how to repeat it, and when the page does so by itself. `of` is what failed:
 * "load", or the name of an action.
 * @typedef {{ error: ApiError, of: string, again: () => void, retriesAt: Date | null }} Failure
 */
/**
 * What each screen's state has besides its own: `authorizing` while the shop's tokens are renewed.
 * @typedef {{ route: Route, failure: Failure | null, authorizing: boolean }} CommonState
 */
/**
 * What `load` and the actions of a screen work with. `set` merges a change and draws. `read` gets
 * JSON from the API, and `answer` also the response's headers; their errors may be left to the
 * screen. `signal` is aborted when the merchant leaves the screen, or loads it again. `go` leads to
 * another of the page's paths. After the screen was left, `set`, `reload` and `go` do nothing.
 * @template S
 * @typedef {object} Context
 * @property {Route} route
 * @property {() => CommonState & S} state
 * @property {(change: Partial<CommonState & S>) => void} set
 * @property {<T>(path: string) => Promise<T>} read
 * @property {(path: string, headers?: Record<string, string>) => Promise<Answer>} answer
 * @property {AbortSignal} signal
 * @property {() => void} reload
 * @property {(path: string) => void} go
 */
/**
 * A screen: its state before anything is loaded; `load`, which may go on for as long as the screen
 * is shown; what the merchant can do; and what it looks like. An `ApiError` of `load` becomes the
 * state's `failure`, and `load` is repeated if the error passes by itself; so keep in the state
 * what has been loaded. An `ApiError` of an action becomes the `failure` too. It goes when the same
 * is tried again.
 * @template {object} S
 * @template {Record<string, (...parameters: any[]) => unknown>} A
 * @typedef {object} Screen
 * @property {(route: Route) => S} initial
 * @property {(context: Context<S>) => Promise<unknown>} load
 * @property {(context: Context<S>) => A} actions
 * @property {(state: CommonState & S, actions: A) => VNode} view
 */

const LONGEST_DELAY = 30_000; // ms between two attempts to load
export const FRESH = 540_000; // ms; the pictures' addresses are valid for at least ten minutes

/**
 * The same screen, with its types inferred.
 * @template {object} S
 * @template {Record<string, (...parameters: any[]) => unknown>} A
 * @param {Screen<S, A>} screen
 */
export const defineScreen = (screen) => screen;

/**
 * Draw the screen in `root` and load it. Returns what loads it again, and what leaves it: nothing
 * that is still under way draws after that.
 * @template {object} S
 * @template {Record<string, (...parameters: any[]) => unknown>} A
 * @param {Screen<S, A>} screen
 * @param {{ route: Route, root: HTMLElement, go: (path: string) => void }} place
 * @returns {{ leave: () => void, reload: () => void }}
 */
export function openScreen(screen, { route, root, go }) {
  const leaving = new AbortController();
  let loading = new AbortController();
  let loadedAt = Date.now();
  let attempts = 0;
  /** @type {CommonState & S} */
  let state = { route, failure: null, authorizing: false, ...screen.initial(route) };

  /** @param {Partial<CommonState & S>} change */
  function set(change) {
    if (leaving.signal.aborted) return;
    state = { ...state, ...change };
    render(screen.view(state, actions), root);
  }

  /** @param {AbortSignal} signal @returns {Context<S>} */
  const contextWith = (signal) => ({
    route,
    signal,
    set,
    go: (path) => leaving.signal.aborted || go(path),
    reload,
    state: () => state,
    answer: (path, headers) => get(path, signal, headers),
    read: async (path) => (await get(path, signal)).body,
  });
  const change = (/** @type {Partial<CommonState>} */ some) =>
    set(/** @type {Partial<CommonState & S>} */ (some));

  /** @param {string} path @param {AbortSignal} signal @param {Record<string, string>} [headers] */
  async function get(path, signal, headers = {}) {
    const { failure } = state; // one of meanwhile still holds
    const answer = await request("GET", path, { signal, headers });
    if (failure?.retriesAt && failure === state.failure) {
      attempts = 0;
      change({ failure: null });
    }
    return answer;
  }

  /** What failed is tried again. @param {string} name */
  function forgetFailure(name) {
    if (state.failure?.of === name) change({ failure: null });
  }

  function reload() {
    if (leaving.signal.aborted) return; // nobody would stop it
    forgetFailure("load");
    loading.abort();
    loading = new AbortController();
    loadedAt = Date.now();
    attempts = 0;
    void load(loading.signal);
  }

  function reloadIfOld() {
    if (Date.now() - loadedAt > FRESH) reload();
  }

  /** Load again what is old when the merchant comes back to it, or when a picture has expired. */
  async function refresh() {
    root.addEventListener("error", reloadIfOld, { capture: true, signal: leaving.signal });
    while (!leaving.signal.aborted) {
      await visibleAgain(leaving.signal);
      reloadIfOld();
    }
  }

  /** @param {AbortSignal} signal */
  async function load(signal) {
    while (!signal.aborted) {
      try {
        await screen.load(contextWith(signal));
        if (!signal.aborted) forgetFailure("load");
        return;
      } catch (thrown) {
        if (signal.aborted) return;
        const error = apiErrorOf(thrown);
        const delay = error.kind === "error" ? null : delayBefore(++attempts, error.retryAfter);
        const retriesAt = delay === null ? null : new Date(Date.now() + delay);
        change({ failure: { error, of: "load", again: reload, retriesAt } });
        if (delay === null) return;
        await pauseOrOnline(delay, signal);
      }
    }
  }

  /** Each action, with its `ApiError` as the state's failure. */
  function guardedActions() {
    const entries = Object.entries(screen.actions(contextWith(leaving.signal)));
    const guarded = entries.map(([name, action]) => {
      /** @param {any[]} parameters */
      async function run(...parameters) {
        forgetFailure(name);
        try {
          return await action(...parameters);
        } catch (thrown) {
          if (leaving.signal.aborted) return undefined;
          const again = () => void run(...parameters);
          const error = apiErrorOf(thrown);
          return change({ failure: { error, of: name, again, retriesAt: null } });
        }
      }
      return [name, run];
    });
    return /** @type {A} */ (Object.fromEntries(guarded));
  }

  const actions = guardedActions();
  onAuthorizing((authorizing) => change({ authorizing }));
  set({});
  void load(loading.signal);
  void refresh();
  return { reload, leave() {
    leaving.abort();
    loading.abort();
  } };
}

/**
 * Any other error is a bug of the page: it goes to the console, and the merchant sees that it
 * happened.
 * @param {unknown} thrown
 */
function apiErrorOf(thrown) {
  if (thrown instanceof ApiError) return thrown;
  reportError(thrown);
  return new ApiError(-1, { code: "PAGE_ERROR", message: String(thrown), request_id: "" });
}

/**
 * Milliseconds: what the server asks for, or twice as long each time, with jitter.
 * @param {number} attempts
 * @param {number | null} seconds
 */
function delayBefore(attempts, seconds) {
  if (seconds !== null) return seconds * 1000;
  return Math.min(500 * 2 ** attempts, LONGEST_DELAY) * (0.75 + Math.random() / 2);
}

/**
 * Like `pause`, but ends as soon as the browser is online again.
 * @param {number} ms
 * @param {AbortSignal} signal
 */
async function pauseOrOnline(ms, signal) {
  const ended = new AbortController();
  const end = () => ended.abort();
  addEventListener("online", end, { once: true });
  signal.addEventListener("abort", end, { once: true });
  await pause(ms, ended.signal);
  removeEventListener("online", end);
  signal.removeEventListener("abort", end);
}
