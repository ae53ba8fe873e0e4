// The audit trail: one row in D1 for every request but health checks and preflights.

/** What the audit trail keeps of a request. The query string is not kept: it may hold secrets. */
export interface AuditRow {
  requestId: string;
  /** When the request arrived, in milliseconds since 1970. */
  arrived: number;
  /** The verified sub, or "anonymous". */
  user: string;
  status: number;
  durationMs: number;
}

/**
 * Writes the row. Meant for ctx.waitUntil: it never rejects, because a request
 * does not fail for want of its audit row; a lost row is logged whole instead.
 */
export async function audit(db: D1Database, request: Request, row: AuditRow): Promise<void> {
  const values = [
    row.requestId,
    new Date(row.arrived).toISOString(),
    row.user,
    request.method,
    new URL(request.url).pathname,
    row.status,
    row.durationMs,
    request.headers.get("CF-Connecting-IP"),
    request.headers.get("User-Agent")?.slice(0, 200) ?? null,
  ];
  try {
    await db
      .prepare(
        `INSERT INTO audit_logs (request_id, timestamp, user_id, method, path, status, duration_ms, ip, user_agent)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)`,
      )
      .bind(...values)
      .run();
  } catch (error) {
    const cause = error instanceof Error ? error.message : String(error);
    const hint = cause.includes("no such table")
      ? " (the migrations have not been applied: selvage d1 migrations apply gateway-audit)"
      : "";
    console.error(`audit row lost: ${cause}${hint}: ${JSON.stringify(values)}`);
  }
}
