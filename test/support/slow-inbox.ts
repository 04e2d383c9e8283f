import type { Inbox, InboxState } from "../../src/core/store.ts";

/** An inbox whose answers come when the test says so, and what it was told. */
export class SlowInbox implements Inbox {
  readonly told: string[] = [];
  readonly claims: PromiseWithResolvers<InboxState>[] = [];
  readonly commits: PromiseWithResolvers<void>[] = [];

  claim(group: string, id: string): Promise<InboxState> {
    this.told.push(`claim ${group} ${id}`);
    const claim = Promise.withResolvers<InboxState>();
    this.claims.push(claim);
    return claim.promise;
  }

  commit(group: string, id: string): Promise<void> {
    this.told.push(`commit ${group} ${id}`);
    const commit = Promise.withResolvers<void>();
    this.commits.push(commit);
    return commit.promise;
  }

  abandon(group: string, id: string): void {
    this.told.push(`abandon ${group} ${id}`);
  }
}
