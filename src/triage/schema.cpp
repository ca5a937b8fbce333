// The schema of triage.json, as shipped in share/coldcase; a test holds the two together.
// size: table
#include <coldcase/triage.hpp>

namespace coldcase {
namespace {

// clang-format off
constexpr std::string_view text =
R"schema({
 "$schema": "https://json-schema.org/draft/2020-12/schema",
 "title": "coldcase triage, version 1",
 "description": "What `coldcase triage` writes as triage.json. A reader ignores keys it does not know and treats an unknown word as other. ids are opaque. Absent is unknown or not applicable.",
 "type": "object",
 "required": [
  "schema",
  "schema_version",
  "generator",
  "totals",
  "groups",
  "rows"
 ],
 "properties": {
  "schema": {
   "const": "coldcase/triage"
  },
  "schema_version": {
   "type": "string"
  },
  "generator": {
   "type": "object",
   "required": [
    "name",
    "version",
    "options"
   ],
   "properties": {
    "name": {
     "type": "string"
    },
    "version": {
     "type": "string"
    },
    "options": {
     "type": "array",
     "items": {
      "type": "string"
     }
    }
   }
  },
  "totals": {
   "type": "object",
   "required": [
    "incident_count",
    "group_count",
    "problem_count",
    "none_count",
    "inconclusive_count",
    "unreadable_count"
   ],
   "properties": {
    "incident_count": {
     "type": "integer",
     "minimum": 0
    },
    "group_count": {
     "type": "integer",
     "minimum": 0
    },
    "problem_count": {
     "type": "integer",
     "minimum": 0
    },
    "none_count": {
     "type": "integer",
     "minimum": 0
    },
    "inconclusive_count": {
     "type": "integer",
     "minimum": 0
    },
    "unreadable_count": {
     "type": "integer",
     "minimum": 0
    }
   }
  },
  "notes": {
   "description": "What went wrong with the servers that were asked for files, once for all rows.",
   "type": "array",
   "items": {
    "type": "object",
    "required": [
     "code",
     "severity",
     "text"
    ],
    "properties": {
     "code": {
      "type": "string"
     },
     "severity": {
      "enum": [
       "info",
       "warning"
      ]
     },
     "text": {
      "type": "string"
     },
     "advice": {
      "type": "string"
     },
     "command": {
      "type": "string"
     }
    }
   }
  },
  "groups": {
   "description": "Rows with one signature, the largest group first.",
   "type": "array",
   "items": {
    "type": "object",
    "required": [
     "id",
     "pattern",
     "headline",
     "count",
     "representative",
     "rows"
    ],
    "properties": {
     "id": {
      "type": "string"
     },
     "pattern": {
      "description": "A slug of `coldcase patterns`.",
      "type": "string"
     },
     "headline": {
      "type": "string"
     },
     "where": {
      "description": "FILE:LINE of the finding.",
      "type": "string"
     },
     "signature": {
      "type": "object",
      "required": [
       "version",
       "text",
       "hash"
      ],
      "properties": {
       "version": {
        "type": "string"
       },
       "text": {
        "type": "string"
       },
       "hash": {
        "type": "string"
       }
      }
     },
     "count": {
      "type": "integer",
      "minimum": 0
     },
     "representative": {
      "description": "id of the row whose core is the most complete.",
      "type": "string"
     },
     "rows": {
      "type": "array",
      "items": {
       "type": "string"
      }
     }
    }
   }
  },
  "rows": {
   "description": "One incident each: a core, or the cores of parent and child.",
   "type": "array",
   "items": {
    "type": "object",
    "required": [
     "id",
     "key",
     "inputs",
     "kind"
    ],
    "properties": {
     "id": {
      "type": "string"
     },
     "key": {
      "description": "The same inputs, tool version and options have the same key on every machine.",
      "type": "string"
     },
     "inputs": {
      "description": "Paths as found under the paths given.",
      "minItems": 1,
      "type": "array",
      "items": {
       "type": "string"
      }
     },
     "duplicates": {
      "description": "Further files with the same content.",
      "type": "array",
      "items": {
       "type": "string"
      }
     },
     "kind": {
      "enum": [
       "problem",
       "none",
       "inconclusive",
       "unreadable"
      ]
     },
     "headline": {
      "type": "string"
     },
     "pattern": {
      "type": "string"
     },
     "confidence": {
      "enum": [
       "hypothesis",
       "likely",
       "very_likely",
       "proved"
      ]
     },
     "where": {
      "type": "string"
     },
     "signature": {
      "type": "object",
      "required": [
       "text"
      ],
      "properties": {
       "text": {
        "type": "string"
       },
       "loose": {
        "type": "string"
       },
       "by_module": {
        "type": "string"
       }
      }
     },
     "group": {
      "type": "string"
     },
     "thread_count": {
      "type": "integer",
      "minimum": 0
     },
     "present_percent": {
      "type": "integer",
      "minimum": 0,
      "maximum": 100
     },
     "report": {
      "description": "Path of the JSON report inside the folder.",
      "type": "string"
     },
     "problem": {
      "type": "object",
      "required": [
       "code",
       "text"
      ],
      "properties": {
       "code": {
        "examples": [
         "not-readable",
         "worker-crashed",
         "worker-failed",
         "time-limit",
         "output-limit",
         "not-run"
        ],
        "type": "string"
       },
       "text": {
        "type": "string"
       }
      }
     }
    }
   }
  }
 }
}
)schema";
// clang-format on

}  // namespace

std::string_view triage_schema() {
  return text;
}

}  // namespace coldcase
