// The writing half of soap.h. Everything is appended to one buffer in one pass over the objects.
#include "base/base64.h"
#include "model/lexical.h"
#include "model/soap.h"
#include "model/soap_names.h"
#include "model/value_ops.h"
#include "wire/xml_reader.h"
#include "wire/xml_writer.h"

namespace virga::model::soap {
namespace {

constexpr std::string_view kXsiType = "xsi:type";

// Whether an element must say what its value is: it stands where the schema does not tell.
enum class Typed : bool { no, yes };
// Passwords travel to a server, and never back. A required secret does: it is what an object is
// there for, as in a ticket.
enum class Secrets : bool { hide, show };

class ValueWriter {
 public:
  ValueWriter(wire::XmlWriter& xml, Version client, Secrets secrets)
      : xml_(xml), client_(client), secrets_(secrets) {}

  // The fields of the object, as far as `type`, its own or a base, has them.
  void fields(const DataObject& object, const TypeInfo& type) {
    if (type.base) fields(object, *type.base);
    for (const FieldInfo& info : type.own_fields) {
      if (info.since > client_ || hidden(info)) continue;
      if (const void* value = info.get(object)) element_or_elements(info.name, *info.type, value);
    }
  }

  // One element; of an array, one for each of its values.
  void element_or_elements(std::string_view name, const ValueType& type, const void* value) {
    if (type.kind != Kind::array) return element(name, type, value, Typed::no);
    const std::size_t size = type.size(value);
    for (std::size_t i = 0; i < size; ++i)
      element(name, *type.element, type.at(value, i), Typed::no);
  }

  // The type as which a client of this version sees objects of `type`.
  const TypeInfo& seen_as(const TypeInfo& type) const {
    const TypeInfo* seen = &type;
    while (seen->since > client_ && seen->base) seen = seen->base;
    return *seen;
  }

 private:
  bool hidden(const FieldInfo& info) const {
    return info.secret && !info.required && secrets_ == Secrets::hide;
  }

  void element(std::string_view name, const ValueType& type, const void* value, Typed typed) {
    switch (type.kind) {
      case Kind::data:
        return data(name, type, *static_cast<const DataObject*>(value), typed);
      case Kind::any: {
        const Any& any = *static_cast<const Any*>(value);
        if (any) element(name, *any.type(), any.value(), Typed::yes);
        return;
      }
      case Kind::array:
        return array(name, type, value);
      case Kind::reference:
        return reference(name, *static_cast<const MoRef*>(value), typed);
      default:
        xml_.start(name);
        if (typed == Typed::yes) xml_.attribute(kXsiType, seen_name(type));
        scalar(type, value);
        xml_.end(name);
    }
  }

  void data(std::string_view name, const ValueType& declared, const DataObject& object,
            Typed typed) {
    const TypeInfo& type = seen_as(object.type_info());
    xml_.start(name);
    if (typed == Typed::yes || &type != declared.data || type.extensible) {
      xml_.attribute(kXsiType, type.name);
    }
    fields(object, type);
    xml_.end(name);
  }

  // An array in an anyType: ArrayOfX with elements named after X.
  void array(std::string_view name, const ValueType& type, const void* value) {
    xml_.start(name);
    xml_.attribute(kXsiType, seen_name(type));
    const std::string_view element_name = local_name(seen_name(*type.element));
    const std::size_t size = type.size(value);
    for (std::size_t i = 0; i < size; ++i) {
      element(element_name, *type.element, type.at(value, i), Typed::yes);
    }
    xml_.end(name);
  }

  void reference(std::string_view name, const MoRef& ref, Typed typed) {
    xml_.start(name);
    xml_.attribute("type", ref.type);
    if (typed == Typed::yes) xml_.attribute(kXsiType, builtin::reference.xsd_name);
    xml_.text(ref.value);
    xml_.end(name);
  }

  // The xsi:type of a value, of what the client knows: an enum newer than it is a string to it.
  std::string_view seen_name(const ValueType& type) const {
    const bool array = type.kind == Kind::array;
    if (type.data) {
      const TypeInfo& seen = seen_as(*type.data);
      return array ? seen.array->xsd_name : seen.value->xsd_name;
    }
    if (type.enumeration && type.enumeration->since > client_) {
      return array ? builtin::array_of_string.xsd_name : builtin::string.xsd_name;
    }
    return type.xsd_name;
  }

  void scalar(const ValueType& type, const void* value) {
    switch (type.kind) {
      case Kind::boolean:
        return xml_.boolean(*static_cast<const bool*>(value));
      case Kind::byte:
        return xml_.integer(*static_cast<const std::int8_t*>(value));
      case Kind::short_:
        return xml_.integer(*static_cast<const std::int16_t*>(value));
      case Kind::int_:
        return xml_.integer(*static_cast<const std::int32_t*>(value));
      case Kind::long_:
        return xml_.integer(*static_cast<const std::int64_t*>(value));
      case Kind::float_:
        return xml_.real(*static_cast<const float*>(value));
      case Kind::double_:
        return xml_.real(*static_cast<const double*>(value));
      case Kind::string:
      case Kind::any_uri:
      case Kind::property_path:
      case Kind::method_name:
        return xml_.text(*static_cast<const std::string*>(value));
      case Kind::type_name: {
        const std::string& name = *static_cast<const std::string*>(value);
        const TypeInfo* named = find_type(name);
        return xml_.text(named ? std::string(seen_as(*named).name) : name);
      }
      case Kind::date_time:
        return xml_.raw(format_time(*static_cast<const Time*>(value)));
      case Kind::binary:
        return xml_.raw(base64_encode(static_cast<const Binary*>(value)->bytes));
      case Kind::enumeration:
        return xml_.raw(type.enumeration->values[static_cast<std::size_t>(type.index(value))]);
      case Kind::reference:
      case Kind::any:
      case Kind::data:
      case Kind::array:
        break;  // never a scalar: element() has dealt with them
    }
  }

  wire::XmlWriter& xml_;
  const Version client_;
  const Secrets secrets_;
};

void open_envelope(wire::XmlWriter& xml) {
  xml.declaration();
  xml.start("soapenv:Envelope");
  xml.attribute("xmlns:soapenc", kEncodingNamespace);
  xml.attribute("xmlns:soapenv", kEnvelopeNamespace);
  xml.attribute("xmlns:xsd", wire::kXsdNamespace);
  xml.attribute("xmlns:xsi", wire::kXsiNamespace);
  xml.start("soapenv:Body");
}

std::string close_envelope(wire::XmlWriter&& xml) {
  xml.end("soapenv:Body");
  xml.end("soapenv:Envelope");
  return std::move(xml).take();
}

}  // namespace

std::string write_response(const MethodInfo& method, const Any& result, Version client) {
  wire::XmlWriter xml;
  open_envelope(xml);
  const std::string name = std::string(method.name) + "Response";
  xml.start(name);
  xml.attribute("xmlns", kNamespace);
  if (method.result && result) {
    ValueWriter(xml, client, Secrets::hide)
        .element_or_elements("returnval", *method.result, result.value());
  }
  xml.end(name);
  return close_envelope(std::move(xml));
}

std::string write_fault(const Fault& fault, Version client) {
  wire::XmlWriter xml;
  open_envelope(xml);
  xml.start("soapenv:Fault");
  xml.element("faultcode", "ServerFaultCode");
  xml.element("faultstring", fault.message());
  if (fault.detail()) {
    ValueWriter values(xml, client, Secrets::hide);
    const TypeInfo& type = values.seen_as(fault.detail()->type_info());
    const std::string name = std::string(type.name) + "Fault";
    xml.start("detail");
    xml.start(name);
    xml.attribute("xmlns", kNamespace);
    xml.attribute(kXsiType, type.name);
    values.fields(*fault.detail(), type);
    xml.end(name);
    xml.end("detail");
  }
  xml.end("soapenv:Fault");
  return close_envelope(std::move(xml));
}

std::string write_request(const MethodInfo& method, const MoRef& object,
                          const DataObject& parameters, Version version) {
  wire::XmlWriter xml;
  open_envelope(xml);
  xml.start(method.name);
  xml.attribute("xmlns", kNamespace);
  ValueWriter values(xml, version, Secrets::show);
  values.element_or_elements("_this", builtin::reference, &object);
  values.fields(parameters, *method.request);
  xml.end(method.name);
  return close_envelope(std::move(xml));
}

}  // namespace virga::model::soap
