// The writing half of json.h: text appended to one string in one pass over the objects.
#include <charconv>
#include <cmath>

#include "model/json.h"
#include "base/base64.h"
#include "model/lexical.h"
#include "model/value_ops.h"
#include "wire/utf8.h"

namespace virga::model::json_binding {
namespace {

// Whether a value must say what it is: it stands where the schema does not tell.
enum class Typed : bool { no, yes };
// Passwords are for the database, and never in an answer; see soap_writer.cpp.
enum class Secrets : bool { hide, show };

constexpr Version kAllVersions{{255, 255, 255, 255}};

class JsonWriter {
 public:
  JsonWriter(Version client, Secrets secrets) : client_(client), secrets_(secrets) {}

  void value(const ValueType& type, const void* value, Typed typed) {
    switch (type.kind) {
      case Kind::data:
        return object(*static_cast<const DataObject*>(value));
      case Kind::reference:
        return reference(*static_cast<const MoRef*>(value));
      case Kind::any: {
        const Any& any = *static_cast<const Any*>(value);
        if (!any) return append("null");
        return this->value(*any.type(), any.value(), Typed::yes);
      }
      case Kind::array:
        return boxed(type, value, typed, &JsonWriter::elements);
      default:
        return boxed(type, value, typed, &JsonWriter::scalar);
    }
  }

  void object(const DataObject& object) {
    const TypeInfo& type = seen_as(object.type_info());
    open(type.name);
    fields(object, type);
    append("}");
  }
  void fault(const Fault& fault) {
    const TypeInfo& type = seen_as(fault.detail()->type_info());
    open(type.name);
    append(",\"faultstring\":");
    string(fault.message());
    fields(*fault.detail(), type);
    append("}");
  }

  std::string take() && { return std::move(text_); }

 private:
  using Write = void (JsonWriter::*)(const ValueType&, const void*);

  void append(std::string_view text) { text_ += text; }

  // {"_typeName":"NAME" — members and the closing brace follow.
  void open(std::string_view type_name) {
    append("{\"_typeName\":\"");
    append(type_name);
    append("\"");
  }

  const TypeInfo& seen_as(const TypeInfo& type) const {
    const TypeInfo* seen = &type;
    while (seen->since > client_ && seen->base) seen = seen->base;
    return *seen;
  }

  bool hidden(const FieldInfo& info) const {
    return info.secret && !info.required && secrets_ == Secrets::hide;
  }

  void fields(const DataObject& object, const TypeInfo& type) {
    if (type.base) fields(object, *type.base);
    for (const FieldInfo& info : type.own_fields) {
      if (info.since > client_ || hidden(info)) continue;
      const void* content = info.get(object);
      if (!content) continue;
      append(",\"");
      append(info.name);
      append("\":");
      value(*info.type, content, Typed::no);
    }
  }

  void reference(const MoRef& ref) {
    open(builtin::reference.name);
    append(",\"type\":");
    string(ref.type);
    append(",\"value\":");
    string(ref.value);
    append("}");
  }

  // A value without a type of its own in JSON, in an object that names its type where it must.
  void boxed(const ValueType& type, const void* value, Typed typed, Write write) {
    if (typed == Typed::no) return (this->*write)(type, value);
    open(seen_name(type));
    append(",\"_value\":");
    (this->*write)(type, value);
    append("}");
  }

  std::string_view seen_name(const ValueType& type) const {
    const bool array = type.kind == Kind::array;
    if (type.data) return seen_as(*type.data).array->name;
    if (type.enumeration && type.enumeration->since > client_) {
      return array ? builtin::array_of_string.name : builtin::string.name;
    }
    return type.name;
  }

  void elements(const ValueType& type, const void* array) {
    append("[");
    const std::size_t size = type.size(array);
    for (std::size_t i = 0; i < size; ++i) {
      if (i != 0) append(",");
      value(*type.element, type.at(array, i), Typed::no);
    }
    append("]");
  }

  void scalar(const ValueType& type, const void* value) {
    switch (type.kind) {
      case Kind::boolean:
        return append(*static_cast<const bool*>(value) ? "true" : "false");
      case Kind::byte:
        return number(*static_cast<const std::int8_t*>(value));
      case Kind::short_:
        return number(*static_cast<const std::int16_t*>(value));
      case Kind::int_:
        return number(*static_cast<const std::int32_t*>(value));
      case Kind::long_:
        return number(*static_cast<const std::int64_t*>(value));
      case Kind::float_:
        return real(*static_cast<const float*>(value));
      case Kind::double_:
        return real(*static_cast<const double*>(value));
      case Kind::string:
      case Kind::any_uri:
      case Kind::type_name:
      case Kind::property_path:
      case Kind::method_name:
        return string(*static_cast<const std::string*>(value));
      case Kind::date_time:
        return string(format_time(*static_cast<const Time*>(value)));
      case Kind::binary:
        return string(base64_encode(static_cast<const Binary*>(value)->bytes));
      case Kind::enumeration:
        return string(type.enumeration->values[static_cast<std::size_t>(type.index(value))]);
      case Kind::reference:
      case Kind::any:
      case Kind::data:
      case Kind::array:
        break;  // never a scalar: value() has dealt with them
    }
  }

  template <class T>
  void number(T value) {
    char digits[32];
    append({digits, std::to_chars(digits, digits + sizeof digits, value).ptr});
  }

  // JSON has no number for these three; they are the strings of XML Schema.
  template <class T>
  void real(T value) {
    if (std::isnan(value)) return append("\"NaN\"");
    if (std::isinf(value)) return append(value > 0 ? "\"INF\"" : "\"-INF\"");
    number(value);
  }

  // What is no UTF-8 becomes U+FFFD, and so does what XML could not carry.
  void string(std::string_view value) {
    append("\"");
    while (!value.empty()) {
      std::size_t run = 0;
      while (run < value.size() && is_plain(value[run])) ++run;
      append(value.substr(0, run));
      value.remove_prefix(run);
      if (!value.empty()) value.remove_prefix(escaped(value));
    }
    append("\"");
  }
  static bool is_plain(char c) { return c >= 0x20 && c < 0x7f && c != '"' && c != '\\'; }

  // Writes the character at the front; its length.
  std::size_t escaped(std::string_view value) {
    switch (value.front()) {
      case '"':
        append("\\\"");
        return 1;
      case '\\':
        append("\\\\");
        return 1;
      case '\n':
        append("\\n");
        return 1;
      case '\r':
        append("\\r");
        return 1;
      case '\t':
        append("\\t");
        return 1;
    }
    const std::size_t length = wire::xml_character_length(value);
    append(length ? value.substr(0, length) : "\xEF\xBF\xBD");
    return length ? length : 1;
  }

  const Version client_;
  const Secrets secrets_;
  std::string text_;
};

}  // namespace

std::string write_result(const ValueType& declared, const Any& value, Version client) {
  if (!value) return {};
  JsonWriter writer(client, Secrets::hide);
  const bool tells = declared.kind == Kind::any;
  writer.value(*value.type(), value.value(), tells ? Typed::yes : Typed::no);
  return std::move(writer).take();
}

std::string write_fault(const Fault& fault, Version client) {
  JsonWriter writer(client, Secrets::hide);
  writer.fault(fault);
  return std::move(writer).take();
}

std::string write_object(const DataObject& object) {
  JsonWriter writer(kAllVersions, Secrets::show);
  writer.object(object);
  return std::move(writer).take();
}

}  // namespace virga::model::json_binding
