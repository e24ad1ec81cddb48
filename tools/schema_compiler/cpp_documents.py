"""Emits vim/documents.h and documents.cpp: the API's description as part of the program."""

from cpp import BANNER

_HEADER = BANNER + """\
// The description of the API that a server hands out: the WSDL with its schema files, and OpenAPI.
#pragma once

#include <string_view>

namespace virga::vim {

// The text of a document by its name; "" when there is none of that name. The names:
NAMES
std::string_view document(std::string_view name);

}  // namespace virga::vim
"""

_SOURCE = BANNER + """\
#include "vim/documents.h"

#pragma GCC diagnostic ignored "-Woverlength-strings"

namespace virga::vim {

std::string_view document(std::string_view name) {
  using std::string_view_literals::operator""sv;
CASES  return {};
}

}  // namespace virga::vim
"""

_LITERAL_LENGTH = 4000


def _literal(text: str) -> str:
    parts = (text[i:i + _LITERAL_LENGTH] for i in range(0, len(text), _LITERAL_LENGTH))
    return "\n".join('R"~(' + part + ')~"' for part in parts)


def documents_header(documents: dict[str, str]) -> str:
    names = "".join(f"//   {name}\n" for name in documents)
    return _HEADER.replace("NAMES\n", names)


def documents_source(documents: dict[str, str]) -> str:
    cases = "".join(f'  if (name == "{name}") return {_literal(text)}sv;\n'
                    for name, text in documents.items())
    return _SOURCE.replace("CASES", cases)
