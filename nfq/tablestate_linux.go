package nfq

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/google/nftables"
	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// tablePrint is a hash of all that decides what our table does: its flags, chains,
// sets with their elements, counters' names, and rules in their order. Handles and
// counts are left out, so that two installations of one configuration have one
// print.
type tablePrint [sha256.Size]byte

// ErrTableChanged: the table is there, and not as it was installed.
var ErrTableChanged = errors.New("the table has been changed")

// tableReader asks the kernel for our table, over one socket.
type tableReader struct {
	conn *netlink.Conn
	hash []byte // what goes into the print
}

// readTable returns the print of our table as it is in the kernel, and the
// generation of all its rules that it was read in. The error is [ErrTableGone]
// where there is no such table.
// With bridged, the print is of the table of family bridge too.
func readTable(ns NetNS, bridged bool) (print tablePrint, generation uint32, err error) {
	conn, err := netlink.Dial(unix.NETLINK_NETFILTER, &netlink.Config{NetNS: int(ns)})
	if err != nil {
		return print, 0, fmt.Errorf("table %s: read: %w", TableName, err)
	}
	defer conn.Close()
	const attempts = 3 // while other programs change rules
	for range attempts {
		r := tableReader{conn: conn}
		before, err := rulesGeneration(conn)
		if err == nil {
			err = r.read(nftables.TableFamilyINet)
		}
		if err == nil && bridged {
			err = r.read(nftables.TableFamilyBridge)
		}
		if errors.Is(err, unix.ENOENT) {
			err = ErrTableGone
		}
		if err != nil {
			return print, before, fmt.Errorf("table %s: read: %w", TableName, err)
		}
		if generation, err = rulesGeneration(conn); err != nil {
			return print, generation, fmt.Errorf("table %s: read: %w", TableName, err)
		}
		print = sha256.Sum256(r.hash)
		if generation == before {
			break
		}
	}
	return print, generation, nil
}

// rulesGeneration returns how often the nftables rules of the network namespace
// have been changed.
func rulesGeneration(conn *netlink.Conn) (uint32, error) {
	answers, err := conn.Execute(nftRequest(unix.NFT_MSG_GETGEN, netlink.Request, unix.NFPROTO_UNSPEC, nil))
	if err != nil {
		return 0, err
	}
	for _, m := range answers {
		if id := attributeOf(m, unix.NFTA_GEN_ID); len(id) == 4 {
			return binary.BigEndian.Uint32(id), nil
		}
	}
	return 0, errors.New("the kernel does not say which generation its rules are")
}

// generationOf asks over a socket of its own.
func generationOf(ns NetNS) (uint32, error) {
	conn, err := netlink.Dial(unix.NETLINK_NETFILTER, &netlink.Config{NetNS: int(ns)})
	if err != nil {
		return 0, err
	}
	defer conn.Close()
	return rulesGeneration(conn)
}

func nftRequest(kind uint16, flags netlink.HeaderFlags, family byte, attributes []byte) netlink.Message {
	return netlink.Message{
		Header: netlink.Header{Type: netlink.HeaderType(unix.NFNL_SUBSYS_NFTABLES<<8 | kind), Flags: flags},
		Data:   append([]byte{family, unix.NFNETLINK_V0, 0, 0}, attributes...), // struct nfgenmsg
	}
}

// tableAttribute is the attribute with the table's name in all messages about
// tables and what is in them (NFTA_TABLE_NAME, NFTA_CHAIN_TABLE and so on).
const tableAttribute = 1

// chainFlags is NFTA_CHAIN_FLAGS of linux/netfilter/nf_tables.h.
const chainFlags = 10

func (r *tableReader) read(family nftables.TableFamily) error {
	name, err := netlink.MarshalAttributes([]netlink.Attribute{{Type: tableAttribute, Data: []byte(TableName + "\x00")}})
	if err != nil {
		return err
	}
	table, err := r.conn.Execute(nftRequest(unix.NFT_MSG_GETTABLE, netlink.Request, byte(family), name))
	if err != nil {
		return err
	}
	r.add(table, unix.NFTA_TABLE_FLAGS)

	dump := func(kind uint16) ([]netlink.Message, error) {
		answers, err := r.conn.Execute(nftRequest(kind, netlink.Request|netlink.Dump, byte(family), name))
		return slices.DeleteFunc(answers, func(m netlink.Message) bool { return !aboutOurTable(m) }), err
	}
	chains, err := dump(unix.NFT_MSG_GETCHAIN)
	if err != nil {
		return err
	}
	r.add(byAttribute(chains, unix.NFTA_CHAIN_NAME), unix.NFTA_CHAIN_NAME, unix.NFTA_CHAIN_HOOK, unix.NFTA_CHAIN_POLICY, unix.NFTA_CHAIN_TYPE, chainFlags)
	counters, err := dump(unix.NFT_MSG_GETOBJ)
	if err != nil {
		return err
	}
	r.add(byAttribute(counters, unix.NFTA_OBJ_NAME), unix.NFTA_OBJ_NAME, unix.NFTA_OBJ_TYPE)
	rules, err := dump(unix.NFT_MSG_GETRULE)
	if err != nil {
		return err
	}
	r.add(byAttribute(rules, unix.NFTA_RULE_CHAIN), unix.NFTA_RULE_CHAIN, unix.NFTA_RULE_EXPRESSIONS, unix.NFTA_RULE_USERDATA)
	sets, err := dump(unix.NFT_MSG_GETSET)
	if err != nil {
		return err
	}
	sets = byAttribute(sets, unix.NFTA_SET_NAME)
	r.add(sets, unix.NFTA_SET_NAME, unix.NFTA_SET_FLAGS, unix.NFTA_SET_KEY_TYPE, unix.NFTA_SET_KEY_LEN, unix.NFTA_SET_DATA_TYPE, unix.NFTA_SET_DATA_LEN)
	for _, set := range sets {
		if flags := attributeOf(set, unix.NFTA_SET_FLAGS); len(flags) == 4 && binary.BigEndian.Uint32(flags)&unix.NFT_SET_EVAL != 0 {
			continue // packets fill it
		}
		if err := r.addElements(family, attributeOf(set, unix.NFTA_SET_NAME)); err != nil {
			return err
		}
	}
	return nil
}

// addElements adds what is in a set, sorted: the kernel's order is none.
func (r *tableReader) addElements(family nftables.TableFamily, set []byte) error {
	request, err := netlink.MarshalAttributes([]netlink.Attribute{
		{Type: unix.NFTA_SET_ELEM_LIST_TABLE, Data: []byte(TableName + "\x00")}, {Type: unix.NFTA_SET_ELEM_LIST_SET, Data: set},
	})
	if err != nil {
		return err
	}
	answers, err := r.conn.Execute(nftRequest(unix.NFT_MSG_GETSETELEM, netlink.Request|netlink.Dump, byte(family), request))
	if err != nil {
		return err
	}
	var elements [][]byte
	for _, m := range answers {
		list, err := netlink.UnmarshalAttributes(attributeOf(m, unix.NFTA_SET_ELEM_LIST_ELEMENTS))
		if err != nil {
			return err
		}
		for _, e := range list {
			elements = append(elements, e.Data)
		}
	}
	slices.SortFunc(elements, bytes.Compare)
	r.piece(set)
	for _, e := range elements {
		r.piece(e)
	}
	return nil
}

// add adds some attributes of messages, in the order of the messages.
func (r *tableReader) add(messages []netlink.Message, attributes ...uint16) {
	for _, m := range messages {
		for _, a := range attributes {
			r.piece(attributeOf(m, a))
		}
	}
	r.piece(nil)
}

// piece adds bytes with their length, so that no two lists of pieces look alike.
func (r *tableReader) piece(b []byte) {
	r.hash = binary.BigEndian.AppendUint32(r.hash, uint32(len(b)))
	r.hash = append(r.hash, b...)
}

// byAttribute sorts by an attribute, and keeps the order of messages with the same:
// of rules in a chain.
func byAttribute(messages []netlink.Message, attribute uint16) []netlink.Message {
	slices.SortStableFunc(messages, func(a, b netlink.Message) int {
		return cmp.Compare(string(attributeOf(a, attribute)), string(attributeOf(b, attribute)))
	})
	return messages
}

// attributeOf returns an attribute of a message; nil if it has none, or cannot be
// read.
func attributeOf(m netlink.Message, attribute uint16) []byte {
	const header = 4 // struct nfgenmsg
	if len(m.Data) < header {
		return nil
	}
	list, err := netlink.UnmarshalAttributes(m.Data[header:])
	if err != nil {
		return nil
	}
	for _, a := range list {
		if a.Type&^(netlink.Nested|netlink.NetByteOrder) == attribute {
			return a.Data
		}
	}
	return nil
}

// aboutOurTable reports whether a message is about our table, or that of family bridge,
// or something in it.
func aboutOurTable(m netlink.Message) bool {
	return len(m.Data) > 0 && (m.Data[0] == byte(nftables.TableFamilyINet) || m.Data[0] == byte(nftables.TableFamilyBridge)) &&
		string(bytes.TrimSuffix(attributeOf(m, tableAttribute), []byte{0})) == TableName
}
