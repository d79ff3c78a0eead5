/** Stored documents, as the server tells of them. */

export interface FolderMark {
  file: string;
  state: string;
  detail: string;
}

export interface StoredDocument {
  kind: string;
  name: string;
  namespace: string;
  version: number;
  digest: string;
  appliedAt: string;
  folder?: FolderMark | null;
  text?: string | null;
}

/** What became of a document that was applied, or would. */
export interface DocumentChange {
  kind: string;
  name: string;
  namespace: string;
  action: "created" | "updated" | "replaced" | "unchanged";
  version: number;
  digest: string;
  appliedAt: string | null;
  text: string;
}

export const fullName = (one: { namespace: string; name: string }): string =>
  one.namespace === "default" ? one.name : `${one.namespace}/${one.name}`;

/** Its page; a kind that is not kept here is a schedule. */
export function pageOf(one: { kind: string; namespace: string; name: string }): string {
  if (one.kind === "CronWorkflow") return `/schedules?${new URLSearchParams({ schedule: fullName(one) })}`;
  return `/documents/${encodeURIComponent(one.namespace)}/${encodeURIComponent(one.name)}?kind=${one.kind}`;
}

export const addressOf = (one: { namespace: string; name: string }): string =>
  `/v1/documents/${encodeURIComponent(one.namespace)}/${encodeURIComponent(one.name)}`;
