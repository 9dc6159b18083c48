package firewall

// Stage is a place on a packet's way, see [Config.Fault].
type Stage uint8

// The stages, in the order in which a packet meets them.
const (
	StageBegin      Stage = iota // before the packets of a batch
	StageLook                    // some packets are looked at before the first is decided
	StagePacket                  // a packet comes
	StageReassembly              // it is handed to reassembly
	StageFrame                   // a whole frame is about to be read
	StageFlow                    // its flow is about to be looked for
	StageHold                    // a later inner fragment waits now
	StageLeave                   // the verdicts of an accepted frame are written
	StageTell                    // the observer is about to be told
	StageDropped                 // reassembly has given up a frame
	StageFinish                  // all packets of a batch are decided
	Stages
)

var stageNames = [Stages]string{"begin", "look", "packet", "reassembly", "frame", "flow", "hold", "leave", "tell", "dropped", "finish"}

// String returns the name of the stage.
func (s Stage) String() string {
	if s < Stages {
		return stageNames[s]
	}
	return "unknown"
}

// at lets a fault happen at a stage.
func (f *Firewall) at(s Stage) {
	if f.fault != nil {
		f.fault(s)
	}
}
