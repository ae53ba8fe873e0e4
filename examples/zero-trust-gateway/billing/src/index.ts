// A private service reached by RPC. It has no fetch handler: there is
// nothing to send HTTP to. What a caller may do is decided by the props of its
// binding, which are part of the caller's deployed configuration and cannot be
// forged in a request.

import { WorkerEntrypoint } from "cloudflare:workers";

interface Props {
  caller: string;
  mayCharge: boolean;
}

/** The user on whose behalf a method is called. */
export interface Caller {
  id: string;
  role: string;
  requestId: string;
}

/** What methods return: errors the caller can do something about are values; exceptions are outages. */
export type Result<T> = { ok: true; value: T } | { ok: false; status: 400 | 403; code: string; message: string };

export interface Invoice {
  id: string;
  user: string;
  cents: number;
}

export class Billing extends WorkerEntrypoint<unknown, Props> {
  invoices(caller: Caller): Result<Invoice[]> {
    return { ok: true, value: [{ id: `inv-${caller.id}-1`, user: caller.id, cents: 4200 }] };
  }

  /** Charges the user. The amount comes from a client, so its type is not believed. */
  charge(caller: Caller, order: unknown): Result<{ charged: number; user: string; via: string }> {
    if (!this.ctx.props.mayCharge) return { ok: false, status: 403, code: "not_permitted", message: "this caller may not charge" };
    const cents = typeof order === "object" && order !== null && "cents" in order ? order.cents : undefined;
    if (typeof cents !== "number" || !Number.isSafeInteger(cents) || cents <= 0) {
      return { ok: false, status: 400, code: "bad_amount", message: "cents is a positive whole number" };
    }
    return { ok: true, value: { charged: cents, user: caller.id, via: this.ctx.props.caller } };
  }

  report(caller: Caller): Result<{ invoices: number; cents: number }> {
    if (caller.role !== "admin") return { ok: false, status: 403, code: "not_permitted", message: "reports are for admins" };
    return { ok: true, value: { invoices: 1, cents: 4200 } };
  }
}

// No handlers. Without a default export the file would count as a Worker in the old format.
export default {};
