// The difference of two snapshots, in the terms of PropertyChange.
#include <unordered_map>

#include "model/element_key.h"
#include "model/property_path.h"

namespace virga::model {
namespace {

using Op = Change::Op;

const DataObject& as_object(const Any& value) {
  return *static_cast<const DataObject*>(value.value());
}

// An array's elements in order, with their brackets, and where each bracket stands.
struct Keys {
  std::vector<std::string> brackets;
  std::unordered_map<std::string_view, std::size_t> positions;
};

// nullopt when the elements cannot all be told apart.
std::optional<Keys> keys_of(const Any& array, const FieldInfo& key) {
  const ValueType& type = *array.type();
  Keys keys;
  keys.brackets.resize(type.size(array.value()));
  for (std::size_t i = 0; i < keys.brackets.size(); ++i) {
    auto text = bracket(key, *static_cast<const DataObject*>(type.at(array.value(), i)));
    if (!text) return std::nullopt;
    keys.brackets[i] = std::move(*text);
    if (!keys.positions.emplace(keys.brackets[i], i).second) return std::nullopt;
  }
  return keys;
}

// Whether removing what is gone and appending what is new gives the order of `after`.
bool keeps_order(const Keys& before, const Keys& after) {
  std::size_t next = 0;  // the least position the next common element may have had
  bool only_new = false;
  for (const std::string& key : after.brackets) {
    const auto old = before.positions.find(key);
    if (old == before.positions.end()) {
      only_new = true;
    } else if (only_new || old->second < next) {
      return false;
    } else {
      next = old->second + 1;
    }
  }
  return true;
}

class Comparison {
 public:
  explicit Comparison(std::string_view path) : path_(path) {}

  // Either may be none.
  void values(const Any& before, const Any& after) {
    if (before.value() == after.value()) return;
    if (!after) {
      removed(before);
    } else if (!before || !comparable(before, after)) {
      if (!(before == after)) report(Op::assign, after);
    } else if (after.type()->kind == Kind::data) {
      fields(before, after);
    } else if (!elements(before, after) && !(before == after)) {
      report(Op::assign, after);
    }
  }

  std::vector<Change> take() && { return std::move(changes_); }

 private:
  // Whether parts of the two can be compared, rather than each as a whole.
  static bool comparable(const Any& before, const Any& after) {
    return before.type() == after.type() && after.type()->data;
  }

  void report(Op op, Any value) { changes_.push_back({op, path_, std::move(value)}); }

  // An array that became empty is still an array to whoever holds a copy of it.
  void removed(const Any& before) {
    const ValueType& type = *before.type();
    if (type.kind == Kind::array) {
      report(Op::assign, type.copy(type, nullptr));
    } else {
      report(Op::indirect_remove, {});
    }
  }

  void fields(const Any& before, const Any& after) {
    const DataObject& old = as_object(before);
    const DataObject& now = as_object(after);
    const std::size_t length = path_.size();
    now.type_info().for_each_field([&](const FieldInfo& field) {
      if (field.get(old) == field.get(now)) return;
      if (length != 0) path_ += '.';
      path_ += field.name;
      values(field.any(before.owner(), old), field.any(after.owner(), now));
      path_.resize(length);
    });
  }

  // The changes element by element; false when the array can only change as a whole.
  bool elements(const Any& before, const Any& after) {
    const FieldInfo* key = key_field(*after.type()->data);
    if (!key) return false;
    const auto old = keys_of(before, *key);
    const auto now = keys_of(after, *key);
    if (!old || !now || !keeps_order(*old, *now)) return false;
    for (const std::string& bracket : old->brackets) {
      if (!now->positions.contains(bracket)) at(bracket, [&] { report(Op::remove, {}); });
    }
    for (std::size_t i = 0; i < now->brackets.size(); ++i) {
      const std::string& bracket = now->brackets[i];
      const auto match = old->positions.find(bracket);
      at(bracket, [&] {
        if (match == old->positions.end()) {
          report(Op::add, element_at(after, i));
        } else {
          values(element_at(before, match->second), element_at(after, i));
        }
      });
    }
    return true;
  }

  template <class F>
  void at(const std::string& bracket, F&& f) {
    const std::size_t length = path_.size();
    path_ += bracket;
    f();
    path_.resize(length);
  }

  std::string path_;
  std::vector<Change> changes_;
};

Any at_path(const DataPtr& object, std::string_view path) {
  if (path.empty()) return any(object);
  const auto steps = parse_path(path);
  return steps ? resolve(object, *steps) : Any();
}

}  // namespace

std::vector<Change> difference(const DataPtr& before, const DataPtr& after, std::string_view path) {
  Comparison comparison(path);
  comparison.values(at_path(before, path), at_path(after, path));
  return std::move(comparison).take();
}

}  // namespace virga::model
