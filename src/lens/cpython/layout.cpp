#include "lens/cpython/layout.hpp"

#include <algorithm>
#include <array>

namespace coldcase::cpython {
namespace {

constexpr std::size_t versions = 10;
constexpr std::int32_t first_minor = 6;

struct Field {
  std::int32_t Layout::*field;
  std::array<std::int32_t, versions> at;
};

// size: table
// clang-format off
constexpr std::array fields{
    //                                           3.6   3.7   3.8  3.9 3.10 3.11 3.12  3.13  3.14  3.15
    Field{&Layout::minor,                     {    6,    7,    8,   9,  10,  11,  12,   13,   14,   15}},
    Field{&Layout::runtime_interpreters_head, {    0,   24,   32,  32,  32,  40,  40,  632,  808,  936}},
    Field{&Layout::runtime_finalizing,        {   -1,    8,   16,  16,  16,  24,  24,  608,  784,  912}},
    Field{&Layout::runtime_gil,               {   -1, 1264, 1152, 352, 352, 360,  -1,   -1,   -1,   -1}},
    Field{&Layout::runtime_gc_collecting,     {   -1,  632,  544,  -1,  -1,  -1,  -1,   -1,   -1,   -1}},
    Field{&Layout::interp_next,               {    0,    0,    0,   0,   0,   0,   0, 7264, 7272, 7264}},
    Field{&Layout::interp_threads_head,       {    8,    8,    8,   8,   8,  16,  72, 7344, 7344, 7336}},
    Field{&Layout::interp_modules,            {   16,   40,   56, 856, 856, 888, 944, 7656, 7688, 7592}},
    Field{&Layout::interp_sysdict,            {   32,   56,   72, 872, 872, 904, 352, 7640, 7672, 7576}},
    Field{&Layout::interp_builtins,           {   40,   64,   80, 880, 880, 912, 360, 7648, 7680, 7584}},
    Field{&Layout::interp_ceval_gil,          {   -1,   -1,   -1,  -1,  -1,  -1, 384,   16,   16,   16}},
    Field{&Layout::interp_gc_collecting,      {   -1,   -1,   -1, 816, 816, 848, 312, 7600, 7600, 7512}},
    Field{&Layout::ts_frame,                  {   24,   24,   24,  24,  24,  -1,  -1,   -1,   -1,   -1}},
    Field{&Layout::ts_cframe,                 {   -1,   -1,   -1,  -1,  48,  56,  56,   -1,   -1,   -1}},
    Field{&Layout::ts_current_frame,          {   -1,   -1,   -1,  -1,  -1,  -1,  -1,   72,   72,   72}},
    Field{&Layout::ts_base_frame,             {   -1,   -1,   -1,  -1,  -1,  -1,  -1,   -1,   -1,   80}},
    Field{&Layout::ts_thread_id,              {  152,  176,  176, 176, 176, 152, 136,  152,  152,  176}},
    Field{&Layout::ts_native_id,              {   -1,   -1,   -1,  -1,  -1, 160, 144,  160,  160,  184}},
    Field{&Layout::ts_state,                  {   -1,   -1,   -1,  -1,  -1,  -1,  -1,   40,   44,   48}},
    Field{&Layout::cframe_current_frame,      {   -1,   -1,   -1,  -1,  -1,   8,   0,   -1,   -1,   -1}},
    Field{&Layout::cframe_previous,           {   -1,   -1,   -1,  -1,   8,  16,   8,   -1,   -1,   -1}},
    Field{&Layout::frame_code,                {   32,   32,   32,  32,  32,  32,   0,    0,    0,    0}},
    Field{&Layout::frame_back,                {   24,   24,   24,  24,  24,  48,   8,    8,    8,    8}},
    Field{&Layout::frame_lasti,               {  120,  104,  104, 104,  96,  56,  56,   56,   56,   56}},
    Field{&Layout::frame_locals,              {  376,  360,  360, 360, 352,  72,  72,   72,   80,   80}},
    Field{&Layout::frame_globals,             {   48,   48,   48,  48,  48,   8,  24,   24,   24,   24}},
    Field{&Layout::frame_valuestack,          {   64,   64,   64,  64,  64,  -1,  -1,   -1,   -1,   -1}},
    Field{&Layout::frame_iblock,              {  128,  112,  112, 112, 104,  -1,  -1,   -1,   -1,   -1}},
    Field{&Layout::frame_blockstack,          {  136,  120,  120, 120, 112,  -1,  -1,   -1,   -1,   -1}},
    Field{&Layout::frame_is_entry,            {   -1,   -1,   -1,  -1,  -1,  68,  -1,   -1,   -1,   -1}},
    Field{&Layout::frame_owner,               {   -1,   -1,   -1,  -1,  -1,  69,  70,   70,   74,   74}},
    Field{&Layout::frame_stacktop,            {   -1,   -1,   -1,  -1,  -1,  64,  64,   64,   -1,   -1}},
    Field{&Layout::frame_stackpointer,        {   -1,   -1,   -1,  -1,  -1,  -1,  -1,   -1,   64,   64}},
    Field{&Layout::code_filename,             {   96,   96,  104, 104, 104, 112, 112,  112,  112,  112}},
    Field{&Layout::code_name,                 {  104,  104,  112, 112, 112, 120, 120,  120,  120,  120}},
    Field{&Layout::code_qualname,             {   -1,   -1,   -1,  -1,  -1, 128, 128,  128,  128,  128}},
    Field{&Layout::code_firstlineno,          {   36,   36,   40,  40,  40,  72,  68,   68,   68,   68}},
    Field{&Layout::code_linetable,            {  112,  112,  120, 120, 120, 136, 136,  136,  136,  136}},
    Field{&Layout::code_exceptiontable,       {   -1,   -1,   -1,  -1,  -1,  40,  40,   40,   40,   40}},
    Field{&Layout::code_names,                {   56,   56,   64,  64,  64,  32,  32,   32,   32,   32}},
    Field{&Layout::code_varnames,             {   64,   64,   72,  72,  72,  96,  96,   96,   96,   96}},
    Field{&Layout::code_nlocalsplus,          {   -1,   -1,   -1,  -1,  -1,  76,  72,   72,   72,   72}},
    Field{&Layout::code_nlocals,              {   24,   24,   28,  28,  28,  80,  80,   80,   80,   80}},
    Field{&Layout::code_stacksize,            {   28,   28,   32,  32,  32,  68,  64,   64,   64,   64}},
    Field{&Layout::code_bytes,                {   40,   40,   48,  48,  48,  -1,  -1,   -1,   -1,   -1}},
    Field{&Layout::code_adaptive,             {   -1,   -1,   -1,  -1,  -1, 184, 192,  200,  208,  208}},
    Field{&Layout::code_cellvars,             {   80,   80,   88,  88,  88,  -1,  -1,   -1,   -1,   -1}},
    Field{&Layout::code_freevars,             {   72,   72,   80,  80,  80,  -1,  -1,   -1,   -1,   -1}},
    Field{&Layout::code_monitoring,           {   -1,   -1,   -1,  -1,  -1,  -1, 168,  176,  176,  176}},
    Field{&Layout::code_firsttraceable,       {   -1,   -1,   -1,  -1,  -1, 168, 176,  184,  192,  192}},
    Field{&Layout::monitoring_lines,          {   -1,   -1,   -1,  -1,  -1,  -1,  40,   32,   96,  104}},
    Field{&Layout::monitoring_instructions,   {   -1,   -1,   -1,  -1,  -1,  -1,  56,   48,  112,  120}},
    Field{&Layout::str_ascii_data,            {   48,   48,   48,  48,  48,  48,  40,   40,   40,   40}},
    Field{&Layout::str_compact_data,          {   72,   72,   72,  72,  72,  72,  56,   56,   56,   56}},
    Field{&Layout::function_code,             {   16,   16,   16,  16,  48,  48,  48,   48,   48,   48}},
    Field{&Layout::function_qualname,         {  104,  104,  104, 104,  40,  40,  40,   40,   40,   40}},
    Field{&Layout::keys_nentries,             {   32,   32,   32,  32,  32,  24,  24,   24,   24,   24}},
    Field{&Layout::keys_indices,              {   40,   40,   40,  40,  40,  32,  32,   32,   32,   32}},
    Field{&Layout::heaptype_cached_keys,      {  856,  856,  872, 864, 872, 872, 880,  880,  880,  888}},
    Field{&Layout::values_first,              {    0,    0,    0,   0,   0,   0,   0,    8,    8,    8}},
    Field{&Layout::tuple_items,               {   24,   24,   24,  24,  24,  24,  24,   24,   32,   32}},
    Field{&Layout::op_with_except_start,      {   81,   81,   81,  49,  49,  49,  49,   44,   43,   41}},
    Field{&Layout::op_push_exc_info,          {   -1,   -1,   -1,  -1,  -1,  35,  35,   33,   32,   30}},
};

constexpr std::array table = [] {
  std::array<Layout, versions> rows{};
  for (std::size_t version = 0; version < versions; ++version) {
    for (const Field& one : fields) rows[version].*one.field = one.at[version];
  }
  return rows;
}();
static_assert(table.front().minor == first_minor && table.back().minor == 15);

// Where _Py_DebugOffsets says what in 3.13, 3.14 and 3.15, and which of ours it is (reference,
// appendix B). The shape is implied by the minor version: it did not change from 3.13.0 to 3.13.18,
// 3.14.4 to 3.14.10, 3.15.0 to 3.15.2.
constexpr std::int32_t first_described = 13;
struct Described {
  std::int32_t Layout::*field;
  std::array<std::int16_t, 3> at;
};
constexpr std::array described{
    Described{&Layout::runtime_finalizing,        { 32,  32,  32}},
    Described{&Layout::runtime_interpreters_head, { 40,  40,  40}},
    Described{&Layout::interp_next,               { 64,  64,  64}},
    Described{&Layout::interp_threads_head,       { 72,  72,  72}},
    Described{&Layout::interp_modules,            { 88,  96,  96}},
    Described{&Layout::interp_sysdict,            { 96, 104, 104}},
    Described{&Layout::interp_builtins,           {104, 112, 112}},
    Described{&Layout::interp_ceval_gil,          {112, 120, 120}},
    Described{&Layout::ts_current_frame,          {184, 208, 208}},
    Described{&Layout::ts_base_frame,             { -1,  -1, 216}},
    Described{&Layout::ts_thread_id,              {192, 216, 240}},
    Described{&Layout::ts_native_id,              {200, 224, 248}},
    Described{&Layout::frame_back,                {232, 256, 320}},
    Described{&Layout::frame_code,                {240, 264, 328}},
    Described{&Layout::frame_lasti,               {248, 272, 336}},
    Described{&Layout::frame_locals,              {256, 280, 344}},
    Described{&Layout::frame_owner,               {264, 288, 352}},
    Described{&Layout::frame_stackpointer,        { -1, 296, 360}},
    Described{&Layout::code_filename,             {280, 320, 384}},
    Described{&Layout::code_name,                 {288, 328, 392}},
    Described{&Layout::code_qualname,             {296, 336, 400}},
    Described{&Layout::code_linetable,            {304, 344, 408}},
    Described{&Layout::code_firstlineno,          {312, 352, 416}},
    Described{&Layout::code_varnames,             {328, 368, 432}},
    Described{&Layout::code_adaptive,             {344, 384, 448}},
    Described{&Layout::tuple_items,               {408, 456, 552}},
    Described{&Layout::str_ascii_data,            {560, 640, 736}},
};
// Two that are not ours as they stand: the interpreter's gc and the flag inside it.
constexpr std::array<std::int16_t, 3> described_gc{80, 88, 88}, described_collecting{576, 656, 760};
// clang-format on

constexpr std::int32_t most_offset = 1 << 20;
constexpr std::uint32_t first_candidate = 0xc0;  // PY_VERSION_HEX: a alpha, b beta, c candidate

std::optional<std::int32_t> read_offset(const MemoryImage& image, Addr at) {
  const auto value = image.read<std::uint64_t>(at);
  if (!value || *value > static_cast<std::uint64_t>(most_offset)) return std::nullopt;
  return static_cast<std::int32_t>(*value);
}

}  // namespace

std::span<const Layout> layouts() {
  return table;
}

const Layout* find_layout(int minor) {
  const auto at = std::ranges::find(table, minor, &Layout::minor);
  return at == table.end() ? nullptr : &*at;
}

std::optional<SelfDescription> read_self_description(const MemoryImage& image, Addr runtime) {
  const auto head = image.read<std::array<std::uint64_t, 3>>(runtime);
  if (!head || (*head)[0] != description_cookie) return std::nullopt;
  SelfDescription self;
  self.version = static_cast<std::uint32_t>((*head)[1]);
  self.free_threaded = (*head)[2] != 0;
  const Layout* base = find_layout(static_cast<int>(self.version >> 16 & 0xff));
  if (base == nullptr || base->minor < first_described || (self.version & 0xf0) < first_candidate)
    return self;
  self.layout = *base;
  const auto column = static_cast<std::size_t>(base->minor - first_described);
  for (const Described& row : described) {
    if (row.at[column] < 0) continue;
    const auto value = read_offset(image, offset_by(runtime, row.at[column]));
    if (!value) return std::nullopt;
    self.layout.*row.field = *value;
  }
  const auto gc = read_offset(image, offset_by(runtime, described_gc[column]));
  const auto collecting = read_offset(image, offset_by(runtime, described_collecting[column]));
  if (gc && collecting) self.layout.interp_gc_collecting = *gc + *collecting;
  self.layout.str_compact_data = self.layout.str_ascii_data + 16;
  return self;
}

bool fits(const MemoryImage& image, Addr runtime, const Layout& layout) {
  const auto interpreter = image.read_pointer(offset_by(runtime, layout.runtime_interpreters_head));
  if (!interpreter || interpreter->value == 0) return false;
  const auto head = image.read_pointer(offset_by(*interpreter, layout.interp_threads_head));
  if (!head || head->value == 0) return false;
  const auto links = image.read<std::array<std::uint64_t, 3>>(*head);  // prev, next, interp
  if (!links || (*links)[0] != 0 || (*links)[2] != interpreter->value) return false;
  if ((*links)[1] == 0) return true;
  const auto second = image.read<std::array<std::uint64_t, 3>>(Addr{(*links)[1]});
  return second && (*second)[0] == head->value && (*second)[2] == interpreter->value;
}

}  // namespace coldcase::cpython
