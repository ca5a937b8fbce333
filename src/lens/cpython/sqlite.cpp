#include "lens/cpython/sqlite.hpp"

#include "base/text.hpp"
#include "lens/cpython/values.hpp"

namespace coldcase::cpython {
namespace {

// sqlite3: aDb (Db *) 32, nDb (int) 40. Db: zDbSName 0, pBt 8. Btree: db 0, pBt 8.
// BtShared: pPager 0, db 8, openFlags 32, autoVacuum 33, incrVacuum 34, bDoTruncate 35,
// inTransaction (0 none, 1 read, 2 write) 36, max1bytePayload (at most 127) 37. (src/sqliteInt.h,
// btreeInt.h; seen with 3.40.1.)
constexpr std::int64_t databases_at = 32, count_at = 40, tree_at = 8, shared_at = 8,
                       transaction_at = 36;
constexpr std::int32_t most_databases = 127;  // SQLITE_MAX_ATTACHED and two
constexpr std::int64_t pager_words = 64;      // Pager has some 400 bytes
constexpr std::size_t most_path = 1024;
constexpr std::uint8_t write_transaction = 2, most_payload = 127;

bool starts(const MemoryImage& image, Addr at, std::string_view text) {
  const auto found = image.read_text(at, most_path);
  return found && *found == text;
}

// Pager keeps zFilename and zJournal, which is the same with "-journal" behind it, side by side.
std::string file_of_pager(const MemoryImage& image, Addr pager) {
  for (std::int64_t i = 0; i + 1 < pager_words; ++i) {
    const auto name = image.read_pointer(offset_by(pager, i * 8));
    const auto journal = image.read_pointer(offset_by(pager, i * 8 + 8));
    if (!name || !journal) return {};
    if (name->value == 0 || journal->value <= name->value ||
        journal->value - name->value > 2 * most_path)
      continue;
    const auto text = image.read_text(*name, most_path);
    if (text && text->starts_with('/') && starts(image, *journal, *text + "-journal"))
      return clean_text(*text, most_path);
  }
  return {};
}

// The first of its databases: main.
void read_main(const MemoryImage& image, Database& database) {
  const auto first = image.read_pointer(offset_by(database.handle, databases_at));
  const auto count = image.read<std::int32_t>(offset_by(database.handle, count_at));
  if (!first || !count || *count < 2 || *count > most_databases) return;
  const auto tree = image.read_pointer(offset_by(*first, tree_at));
  if (!tree || image.read_pointer(*tree).value_or(Addr{}) != database.handle) return;
  const auto shared = image.read_pointer(offset_by(*tree, shared_at));
  const auto pager = shared ? image.read_pointer(*shared) : Read<Addr>(Addr{});
  if (!pager || pager->value == 0) return;
  database.file = file_of_pager(image, *pager);
  database.attached = static_cast<std::size_t>(*count - 2);  // main and temp
  struct State {
    std::uint8_t transaction, payload;
  };
  const auto state = image.read<State>(offset_by(*shared, transaction_at));
  database.writes = !database.file.empty() && state && state->payload > 0 &&
                    state->payload <= most_payload && state->transaction == write_transaction;
}

}  // namespace

std::optional<Database> read_database(const Objects& objects, Addr object) {
  const MemoryImage& image = objects.image();
  // pysqlite_Cursor: connection 16. pysqlite_Connection: db 16. (Modules/_sqlite, 3.6 to 3.15.)
  if (is_kind_of(objects, object, "sqlite3.Cursor")) {
    const auto connection = image.read_pointer(offset_by(object, object_body));
    if (!connection) return std::nullopt;
    object = *connection;
  }
  if (!is_kind_of(objects, object, "sqlite3.Connection")) return std::nullopt;
  const auto handle = image.read_pointer(offset_by(object, object_body));
  if (!handle || handle->value == 0) return std::nullopt;
  Database database{object, *handle, {}, 0, false};
  read_main(image, database);
  return database;
}

}  // namespace coldcase::cpython
