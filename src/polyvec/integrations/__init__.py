"""polyvec behind other libraries' protocols; each module needs the library it is named for."""
