/** Name of the database in its directory; SQLite adds `-wal` and `-shm` for the other two files. */
export const DATABASE_NAME = "herald.db";

/** A repaired database that is whole and waits to take the place of the damaged one. While it is there nothing is opened. */
export const REBUILT_NAME = "herald.db.rebuilt";
