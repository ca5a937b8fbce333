// Python objects in dead memory: type names, strings, containers, attributes. Every count is
// bounded, every type is checked before its fields are believed: freed memory keeps plausible
// contents.
#pragma once

#include <coldcase/result.hpp>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "lens/cpython/layout.hpp"

namespace coldcase::cpython {

// tp_flags bits for the fast subclass tests (Include/object.h).
inline constexpr std::uint64_t flag_long = 1u << 24, flag_list = 1u << 25, flag_tuple = 1u << 26,
                               flag_bytes = 1u << 27, flag_unicode = 1u << 28, flag_dict = 1u << 29,
                               flag_managed_dict = 1u << 4, flag_inline_values = 1u << 2;

// What the word of a slot refers to; `tagged`: the layout's tagged_slots().
std::optional<Addr> untag_slot(std::uint64_t bits, bool tagged);

class Objects {
 public:
  Objects(const MemoryImage& image, const Layout& layout) : image_(image), layout_(layout) {}
  const MemoryImage& image() const { return image_; }
  const Layout& layout() const { return layout_; }

  Read<Addr> read_type(Addr object) const { return image_.read_pointer(offset_by(object, 8)); }
  // Names for types whose own cannot be read (type_names.hpp).
  void name_types(std::map<std::uint64_t, std::string> names);
  // What a slot of a frame's locals or value stack refers to; nothing for one that is empty, holds
  // a small integer or is not there. Every slot is read through this.
  std::optional<Addr> read_slot(Addr at) const;
  // tp_name of the object's type, e.g. "_thread.lock"; cached per type.
  const std::string& type_name(Addr object) const;
  std::uint64_t type_flags(Addr object) const;
  std::int64_t type_basic_size(Addr object) const;
  bool has_flag(Addr object, std::uint64_t flag) const { return (type_flags(object) & flag) != 0; }

  Read<std::string> read_str(Addr object) const;          // UTF-8
  bool is_str(Addr object, std::string_view text) const;  // as read_str(), without a copy
  Read<std::int64_t> read_int(Addr object) const;         // that fits 62 bits
  Read<std::vector<Addr>> read_tuple(Addr object) const;  // at most 65,536 items
  Read<std::vector<std::byte>> read_bytes(Addr object) const;

  // Visits key and value of a dict until `visit` returns false; false when the dict makes no sense.
  bool each_item(Addr dict, const std::function<bool(Addr, Addr)>& visit) const;
  std::optional<Addr> find_item(Addr dict, std::string_view key) const;

  // An instance attribute from the object's own dict, wherever this version keeps it.
  std::optional<Addr> find_attribute(Addr object, std::string_view name) const;
  bool each_attribute(Addr object, const std::function<bool(Addr, Addr)>& visit) const;

 private:
  struct TypeInfo {
    std::string name;
    std::uint64_t flags = 0;
    std::int64_t basic_size = 0;
    std::int64_t dict_offset = 0;
  };
  // The entries behind a keys object's index table.
  struct KeysShape {
    std::int64_t count, entry_size;
    Addr first;
  };
  const TypeInfo& type_of(Addr object) const;
  std::optional<KeysShape> shape_of(Addr keys) const;
  bool each_managed(Addr object, Addr type, const TypeInfo& info,
                    const std::function<bool(Addr, Addr)>& visit) const;
  bool each_entry(Addr keys, std::optional<Addr> values,
                  const std::function<bool(Addr, Addr)>& visit) const;

  const MemoryImage& image_;
  const Layout& layout_;
  mutable std::map<std::uint64_t, TypeInfo> types_;
  std::map<std::uint64_t, std::string> given_names_;
};

}  // namespace coldcase::cpython
