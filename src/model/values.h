// The C++ types that stand for the API's built-in ones.
//
//   boolean bool            string, anyURI, TypeName, PropertyPath, MethodName   std::string
//   byte    std::int8_t     dateTime      Time          base64Binary  Binary
//   short   std::int16_t    ManagedObject MoRef         anyType       Any
//   int     std::int32_t    T?            std::optional<T>; Ptr<T> for data objects; Any itself
//   long    std::int64_t    T[]           Array<T>; List<T> for data objects; empty is unset
//   float, double
#pragma once

#include <chrono>
#include <cstdint>
#include <deque>
#include <initializer_list>
#include <optional>
#include <string>
#include <type_traits>
#include <vector>

#include "model/data_object.h"

namespace virga::model {

using Time = std::chrono::sys_time<std::chrono::microseconds>;

struct Binary {
  std::string bytes;
  bool operator==(const Binary&) const = default;
};

// A managed object reference: the wire's type name and identifier.
struct MoRef {
  std::string type;
  std::string value;
  bool operator==(const MoRef&) const = default;
  auto operator<=>(const MoRef&) const = default;
};

// std::vector<bool> has no elements that can be pointed at.
template <class T>
using Array = std::conditional_t<std::is_same_v<T, bool>, std::deque<bool>, std::vector<T>>;

// A sequence of data objects of type T or derived from it.
template <class T>
class List {
 public:
  using Object = T;

  class iterator {
   public:
    using value_type = Ptr<T>;
    using difference_type = std::ptrdiff_t;
    explicit iterator(std::vector<DataPtr>::const_iterator at) : at_(at) {}
    Ptr<T> operator*() const { return Ptr<T>(*at_); }
    iterator& operator++() {
      ++at_;
      return *this;
    }
    bool operator==(const iterator&) const = default;

   private:
    std::vector<DataPtr>::const_iterator at_;
  };

  List() = default;
  List(std::initializer_list<Ptr<T>> items) {
    for (const auto& item : items) push_back(item);
  }

  iterator begin() const { return iterator(items_.begin()); }
  iterator end() const { return iterator(items_.end()); }
  std::size_t size() const { return items_.size(); }
  bool empty() const { return items_.empty(); }
  Ptr<T> operator[](std::size_t i) const { return Ptr<T>(items_[i]); }
  Ptr<T> front() const { return Ptr<T>(items_.front()); }
  Ptr<T> back() const { return Ptr<T>(items_.back()); }
  void push_back(const Ptr<T>& item) { items_.push_back(item.data()); }
  void push_back(T value) { items_.push_back(share(std::move(value)).data()); }
  // Adds an element and returns it for filling in.
  T& emplace_back() {
    T* object = new T();
    items_.push_back(DataPtr(object));
    return *object;
  }
  void replace(std::size_t i, const Ptr<T>& item) { items_[i] = item.data(); }
  template <class Predicate>
  void erase_if(Predicate predicate) {
    std::erase_if(items_, [&](const DataPtr& item) { return predicate(*Ptr<T>(item)); });
  }
  void clear() { items_.clear(); }

  // The storage every List<T> shares, whatever T: what the metadata reads and writes.
  std::vector<DataPtr>& items() { return items_; }
  const std::vector<DataPtr>& items() const { return items_; }

 private:
  std::vector<DataPtr> items_;
};

struct ValueType;

// A value of any API type, or none. It either owns the value or points into a data object that it
// keeps alive, so that reading a property copies nothing.
class Any {
 public:
  Any() = default;
  // `value` is of the C++ type that `type` stands for and lives as long as `owner`.
  Any(const ValueType& type, Counted<RefCounted> owner, const void* value)
      : type_(&type), owner_(std::move(owner)), value_(value) {}

  explicit operator bool() const { return type_ != nullptr; }
  const ValueType* type() const { return type_; }
  const void* value() const { return value_; }
  const Counted<RefCounted>& owner() const { return owner_; }
  // The value as a T; nullptr when it is of another type. Data objects: T is exact or a base.
  template <class T>
  const T* get() const;

  bool operator==(const Any& other) const;

 private:
  const ValueType* type_ = nullptr;
  Counted<RefCounted> owner_;
  const void* value_ = nullptr;
};

// Any of a built-in value, an enum, an array or a list: any(std::int32_t{5}), any(list).
template <class T>
Any any(T value);
// Any of a data object, of its dynamic type; none for nullptr.
Any any(DataPtr object);
template <class T>
Any any(const Ptr<T>& object) {
  return any(object.data());
}

}  // namespace virga::model
