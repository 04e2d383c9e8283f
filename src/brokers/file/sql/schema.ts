/**
 * Event streams and small values. `touched` orders streams by their latest append, so that what has grown is found by an index.
 * A store that was made before they were gets them when it is opened.
 */
export const STREAMS_SCHEMA = `
CREATE TABLE IF NOT EXISTS streams(id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL UNIQUE, version INTEGER NOT NULL,
  hash TEXT NOT NULL, touched INTEGER NOT NULL);
CREATE INDEX IF NOT EXISTS streams_touched ON streams(touched);
CREATE TABLE IF NOT EXISTS events(stream_id INTEGER NOT NULL, version INTEGER NOT NULL, body TEXT NOT NULL, hash TEXT NOT NULL,
  PRIMARY KEY (stream_id, version)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS kept_values(space TEXT NOT NULL, key TEXT NOT NULL, token TEXT NOT NULL, value TEXT NOT NULL,
  PRIMARY KEY (space, key)) WITHOUT ROWID;
CREATE VIEW IF NOT EXISTS event_tail AS SELECT s.name AS stream, e.version, e.body ->> '$.type' AS type, e.body ->> '$.time' AS time,
  e.body -> '$.data' AS data, e.hash FROM events e JOIN streams s ON s.id = e.stream_id;
`;

/** The version of the tables; a store with another one is refused. */
export const FORMAT = 1;

/**
 * The tables. Messages are one log with one counter. A lane is one priority of one channel: ascending lanes are the order
 * of priority, and `seq` inside a lane is the order of publishing. What a group has read of a lane is one cursor; what it
 * holds is one claim for each run of messages; only what leaves that path (failed, delayed, given back, with a key) has a
 * row of its own in `exceptions`.
 *
 * `exceptions.state`: 0 waits until `ready_at`, 1 is handed out, 2 waits for its key. `holds`: while it waits it holds back
 * the later ones of its key. Times in `ready_at` and `lease_until` are of the system's monotonic clock.
 */
export const SCHEMA = `
CREATE TABLE store(id INTEGER PRIMARY KEY CHECK (id = 1), format INTEGER NOT NULL, seq INTEGER NOT NULL,
  structure INTEGER NOT NULL, turn INTEGER NOT NULL, boot TEXT NOT NULL, boot_offset REAL NOT NULL);
CREATE TABLE owners(id INTEGER PRIMARY KEY AUTOINCREMENT, pid INTEGER NOT NULL, started TEXT NOT NULL, boot TEXT NOT NULL,
  host TEXT NOT NULL, namespace TEXT NOT NULL, opened_at INTEGER NOT NULL);
CREATE TABLE channels(id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL UNIQUE, retention_ms REAL);
CREATE TABLE lanes(id INTEGER PRIMARY KEY AUTOINCREMENT, channel_id INTEGER NOT NULL, priority INTEGER NOT NULL,
  first_seq INTEGER NOT NULL DEFAULT 0, last_seq INTEGER NOT NULL DEFAULT 0, appended INTEGER NOT NULL DEFAULT 0,
  held INTEGER NOT NULL DEFAULT 0, purged_seq INTEGER NOT NULL DEFAULT 0, UNIQUE (channel_id, priority));
CREATE INDEX lanes_head ON lanes(last_seq);
CREATE TABLE messages(seq INTEGER PRIMARY KEY, lane_id INTEGER NOT NULL, stored_at INTEGER NOT NULL, deliver_at REAL,
  partition_key TEXT, attributes TEXT NOT NULL, headers TEXT, body BLOB NOT NULL, crc INTEGER);
CREATE INDEX messages_lane ON messages(lane_id);
CREATE TABLE doomed(lane_id INTEGER PRIMARY KEY, through_seq INTEGER NOT NULL);
CREATE TABLE quarantine(seq INTEGER PRIMARY KEY, channel TEXT NOT NULL, priority INTEGER NOT NULL, found_at INTEGER NOT NULL,
  reason TEXT NOT NULL, attributes, headers, body, crc);
CREATE TABLE groups(id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT, owner INTEGER, touched INTEGER NOT NULL DEFAULT 0);
CREATE UNIQUE INDEX groups_name ON groups(name) WHERE name IS NOT NULL;
CREATE INDEX groups_touched ON groups(touched);
CREATE TABLE patterns(id INTEGER PRIMARY KEY AUTOINCREMENT, group_id INTEGER NOT NULL, pattern TEXT NOT NULL,
  strict INTEGER NOT NULL, start_seq INTEGER NOT NULL, UNIQUE (group_id, pattern));
CREATE TABLE cursors(group_id INTEGER NOT NULL, lane_id INTEGER NOT NULL, seq INTEGER NOT NULL, passed INTEGER NOT NULL,
  PRIMARY KEY (group_id, lane_id)) WITHOUT ROWID;
CREATE TABLE claims(id INTEGER PRIMARY KEY AUTOINCREMENT, group_id INTEGER NOT NULL, lane_id INTEGER NOT NULL,
  from_seq INTEGER NOT NULL, to_seq INTEGER NOT NULL, left INTEGER NOT NULL, pending BLOB NOT NULL, owner INTEGER NOT NULL,
  lease_until REAL NOT NULL);
CREATE TABLE exceptions(group_id INTEGER NOT NULL, seq INTEGER NOT NULL, lane_id INTEGER NOT NULL, channel_id INTEGER NOT NULL,
  priority INTEGER NOT NULL, partition_key TEXT, attempt INTEGER NOT NULL, lost INTEGER NOT NULL, state INTEGER NOT NULL,
  holds INTEGER NOT NULL, ready_at REAL NOT NULL, failures TEXT, owner INTEGER, token INTEGER, lease_until REAL,
  PRIMARY KEY (group_id, seq)) WITHOUT ROWID;
CREATE INDEX exceptions_ready ON exceptions(group_id, channel_id, state, ready_at);
CREATE INDEX exceptions_key ON exceptions(group_id, channel_id, partition_key, seq) WHERE partition_key IS NOT NULL;
CREATE INDEX exceptions_lease ON exceptions(lease_until) WHERE state = 1;
CREATE TABLE ids(id TEXT PRIMARY KEY, seq INTEGER NOT NULL, at INTEGER NOT NULL) WITHOUT ROWID;
CREATE INDEX ids_at ON ids(at);
CREATE TABLE inbox(scope TEXT NOT NULL, id TEXT NOT NULL, until INTEGER NOT NULL, PRIMARY KEY (scope, id)) WITHOUT ROWID;
CREATE INDEX inbox_until ON inbox(until);

CREATE VIEW tail AS SELECT m.seq AS position, c.name AS channel, l.priority,
  strftime('%Y-%m-%dT%H:%M:%fZ', m.stored_at / 1000.0, 'unixepoch') AS stored, m.attributes ->> '$.id' AS id,
  m.attributes ->> '$.source' AS source, m.partition_key AS "key",
  json_patch('{"specversion":"1.0","type":"herald.message","datacontenttype":"application/json"}', m.attributes) AS attributes, m.headers, CAST(m.body AS TEXT) AS body
  FROM messages m JOIN lanes l ON l.id = m.lane_id JOIN channels c ON c.id = l.channel_id WHERE m.seq > l.purged_seq;
CREATE VIEW lag AS SELECT g.name AS "group", c.name AS channel,
  sum(l.appended - u.passed
    + (SELECT coalesce(sum(k.left), 0) FROM claims k WHERE k.group_id = g.id AND k.lane_id = l.id)
    + (SELECT count(*) FROM exceptions e WHERE e.group_id = g.id AND e.lane_id = l.id)) AS lag,
  sum((SELECT coalesce(sum(k.left), 0) FROM claims k WHERE k.group_id = g.id AND k.lane_id = l.id)
    + (SELECT count(*) FROM exceptions e WHERE e.group_id = g.id AND e.lane_id = l.id AND e.state = 1)) AS unsettled
  FROM cursors u JOIN groups g ON g.id = u.group_id JOIN lanes l ON l.id = u.lane_id JOIN channels c ON c.id = l.channel_id
  WHERE g.name IS NOT NULL GROUP BY g.id, c.id;
CREATE VIEW dead_letters AS SELECT position, channel, stored, id, source, headers ->> '$."x-dlq-channel"' AS original,
  headers, body FROM tail WHERE channel LIKE 'dlq.%';
CREATE VIEW post AS SELECT channel, body, attributes FROM tail;
CREATE TRIGGER post_message INSTEAD OF INSERT ON post BEGIN
  INSERT OR IGNORE INTO channels(name) VALUES (new.channel);
  INSERT OR IGNORE INTO lanes(channel_id, priority) SELECT id, 50 FROM channels WHERE name = new.channel;
  UPDATE store SET seq = seq + 1;
  INSERT INTO messages(seq, lane_id, stored_at, attributes, body) SELECT s.seq, l.id, CAST(unixepoch('subsec') * 1000 AS INTEGER),
    json_patch(json_object('id', lower(hex(randomblob(16)))), coalesce(new.attributes, '{}')), CAST(new.body AS BLOB)
    FROM store s JOIN channels c ON c.name = new.channel JOIN lanes l ON l.channel_id = c.id AND l.priority = 50;
  UPDATE lanes SET last_seq = (SELECT seq FROM store), appended = appended + 1, held = held + 1,
    first_seq = CASE first_seq WHEN 0 THEN (SELECT seq FROM store) ELSE first_seq END
    WHERE id = (SELECT l.id FROM lanes l JOIN channels c ON c.id = l.channel_id WHERE c.name = new.channel AND l.priority = 50);
END;
${STREAMS_SCHEMA}`;
