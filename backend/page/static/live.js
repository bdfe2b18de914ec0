// What changes while it is shown: a job's events by long-poll, everything else by polling. Nothing
// is requested while the page is hidden. Errors end both; the screen's load is then repeated.
import { call, request, retryAfter } from "./api.js";

/** @import { JobEventResponse, JobEventsResponse } from "atelier-api" */

const LONGEST_WAIT = 20; // seconds; the server waits at most 25, and nginx 35

/**
 * A job's events as they are committed, until the job's last one.
 * @param {string} id
 * @param {{ since: number, signal: AbortSignal, onEvents: (events: JobEventResponse[]) => void }} options
 */
export async function follow(id, { since, signal, onEvents }) {
  let wait = 0; // the first answer comes at once
  while (!signal.aborted) {
    await visible(signal);
    const path = `/v1/jobs/${id}/events?since=${since}&wait=${wait}`;
    const page = /** @type {JobEventsResponse} */ (await call("GET", path, { signal }));
    if (page.events.length) onEvents(page.events);
    if (page.events.some(({ event_type: type }) => type === "succeeded" || type === "failed")) return;
    since = page.latest_seq;
    wait = LONGEST_WAIT;
  }
}

/**
 * A resource whenever it changes, read again after the seconds in Retry-After or else `seconds`.
 * Ends when `onBody` returns false.
 * @template T
 * @param {string} path
 * @param {{ signal: AbortSignal, seconds: number, onBody: (body: T, headers: Headers) => boolean | void }} options
 */
export async function poll(path, { signal, seconds, onBody }) {
  let tag = "";
  while (!signal.aborted) {
    await visible(signal);
    const headers = tag ? { "If-None-Match": tag } : {};
    const answer = await request("GET", path, { signal, headers });
    if (answer.status !== 304 && onBody(answer.body, answer.headers) === false) return;
    tag = answer.headers.get("ETag") ?? "";
    await pause((retryAfter(answer.headers) ?? seconds) * 1000, signal);
  }
}

/**
 * Resolves after `ms` milliseconds, or when `signal` is aborted.
 * @param {number} ms
 * @param {AbortSignal} signal
 */
export function pause(ms, signal) {
  return new Promise((resolve) => {
    const end = () => {
      clearTimeout(timer);
      signal.removeEventListener("abort", end);
      resolve(undefined);
    };
    const timer = setTimeout(end, ms);
    signal.addEventListener("abort", end);
  });
}

/**
 * Resolves when the page is visible, or when `signal` is aborted. App Bridge makes
 * `visibilityState` that of the admin.
 * @param {AbortSignal} signal
 */
async function visible(signal) {
  while (document.visibilityState !== "visible" && !signal.aborted) await visibilityChange(signal);
}

/**
 * Resolves when the visibility may have changed, or when `signal` is aborted.
 * @param {AbortSignal} signal
 */
function visibilityChange(signal) {
  return new Promise((resolve) => {
    document.addEventListener("visibilitychange", resolve, { once: true, signal });
    signal.addEventListener("abort", resolve, { once: true });
  });
}
