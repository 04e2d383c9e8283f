/** A schema of another subject that a schema refers to by name. */
export interface SchemaReference {
  readonly name: string;
  readonly subject: string;
  readonly version: number;
}

/** A schema as a registry keeps it. */
export interface RegisteredSchema {
  /** `AVRO`, `JSON`, `PROTOBUF`, … */
  readonly schemaType: string;
  /** The schema's text. */
  readonly schema: string;
  readonly references: readonly SchemaReference[];
}

/** One version of a subject. */
export interface SchemaVersion extends RegisteredSchema {
  readonly subject: string;
  readonly id: number;
  /** Undefined: the registry did not say; then it is looked up where it is needed. */
  readonly version: number | undefined;
  /** The name that is the same in every registry; older registries give none. */
  readonly guid: string | undefined;
}

/** Whether a schema may become the next version of a subject, and why not. */
export interface Compatibility {
  readonly compatible: boolean;
  readonly reasons: readonly string[];
}
