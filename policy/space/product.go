package space

// Point is one packet: a value for each field.
type Point [Fields]Value

// Product is the set of the packets that have the value of each field in the
// set of that field. The zero Product holds every packet.
type Product [Fields]Set

// With returns a product that has s for the field and is p otherwise.
func (p Product) With(f Field, s Set) Product {
	p[f] = s
	return p
}

// IsEmpty reports whether some field has no value left. A product that is not
// empty can hold impossible packets only, see [Product.Possible].
func (p *Product) IsEmpty() bool {
	for f := range p {
		if p[f].IsEmpty() {
			return true
		}
	}
	return false
}

// Contains reports whether the packet is in the product.
func (p *Product) Contains(x *Point) bool {
	for f := range p {
		if p[f].ranges != nil && !p[f].Contains(x[f]) {
			return false
		}
	}
	return true
}

// Overlaps reports whether both have a combination of values in common, a
// possible packet or not.
func (p *Product) Overlaps(q *Product) bool {
	for f := range p {
		if (p[f].ranges != nil || q[f].ranges != nil) && !p[f].Overlaps(q[f]) {
			return false
		}
	}
	return true
}

// Covers reports whether each value that q allows is allowed by p. Neither may
// be empty.
func (p *Product) Covers(q *Product) bool {
	for f := range p {
		if p[f].ranges != nil && !p[f].Covers(q[f]) {
			return false
		}
	}
	return true
}

// Equal reports whether both constrain the fields in the same way.
func (p *Product) Equal(q *Product) bool {
	for f := range p {
		if !p[f].Equal(q[f]) {
			return false
		}
	}
	return true
}

// Intersect returns what is in both; false if that is nothing.
func (p *Product) Intersect(q *Product) (Product, bool) {
	out := *p
	for f := range out {
		out[f] = out[f].Intersect(q[f])
		if out[f].IsEmpty() {
			return Product{}, false
		}
	}
	return out, true
}

// Subtract returns what is in p and not in q, as products that do not overlap:
// at most one for each field that q constrains.
func (p *Product) Subtract(q *Product) []Product {
	if !p.Overlaps(q) {
		return []Product{*p}
	}
	var out []Product
	rest := *p
	for f := range Fields {
		if q[f].ranges == nil || q[f].Covers(rest[f]) {
			continue
		}
		piece := rest
		piece[f] = f.Subtract(rest[f], q[f])
		out = append(out, piece)
		rest[f] = rest[f].Intersect(q[f])
	}
	return out
}

// Merge joins products that do not overlap where two differ in one field only,
// until no two do, so that they read better. The result holds the same packets;
// the slice is changed and reused.
func Merge(products []Product) []Product {
	for again := true; again; {
		again = false
		for i := 0; i < len(products); i++ {
			for j := i + 1; j < len(products); {
				f, ok := onlyDifference(&products[i], &products[j])
				if !ok {
					j++
					continue
				}
				if f < Fields {
					products[i][f] = f.Union(products[i][f], products[j][f])
				}
				products = append(products[:j], products[j+1:]...)
				again = true
			}
		}
	}
	return products
}

// onlyDifference returns the one field in which the products differ, Fields if
// there is none; false if there are more.
func onlyDifference(p, q *Product) (Field, bool) {
	found := Fields
	for f := range Fields {
		if p[f].Equal(q[f]) {
			continue
		}
		if found != Fields {
			return Fields, false
		}
		found = f
	}
	return found, true
}
